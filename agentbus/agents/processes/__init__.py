"""Agents in processes of their own: one child process per agent, supervised like any other agent.

The agent's address, mailbox and supervision stay in a cell of this node, whose behaviour is the child: it
hands each message through a socket pair to the one agent in the process, and waits for what becomes of it.
So a process that ends is a failure of the behaviour, and everything that follows from a failure follows.

    behaviour   the parent's side: a behaviour that hands messages on
    child       the parent's side: launch, frames, exit
    invitation  the parent's side: how an agent in a child reaches the hub
    frames      what goes through the socket pair: pure
    channel     frames over the socket pair
    flows       both sides: chunks of streams and attachments
    parent_death  the child's side: ends with the parent, whatever it is doing
    program     the child's side: `python -m agentbus.agents.processes.program`
"""
