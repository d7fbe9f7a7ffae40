"""How the agents of queues are named and found."""

from __future__ import annotations

from agentbus.agents.address import encode_part
from agentbus.agents.query import Query

CAPABILITY = "agentbus.queue"
"""What every queue agent is found by."""


ANY_QUEUE = Query(capability=CAPABILITY)


def agent_name(queue: str) -> str:
    """Name the agent that hosts a queue.

    Raises:
        InvalidNameError: the queue's name has no place in an address.
    """
    name = f"queue.{queue}"
    encode_part(name if queue else queue, "agent")
    return name


def query_for(queue: str) -> Query:
    """Say how the host of a queue is found."""
    return Query(capability=CAPABILITY, metadata={"queue": queue})
