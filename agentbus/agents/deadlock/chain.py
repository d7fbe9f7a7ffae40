"""What the chain of an ask says about the agent that it has reached. Pure."""

from __future__ import annotations

from agentbus.agents.headers import Waiting


def cycle_at(address: str, chain: tuple[Waiting, ...], *, concurrency: int = 1) -> tuple[Waiting, ...]:
    """Give the part of a chain that an ask to `address` may close into a cycle; empty if it can't.

    Args:
        address: the agent that the ask has reached.
        chain: who waits for it, oldest first.
        concurrency: messages that the agent handles at a time: it is stuck when all of them wait.
    """
    before, places = 0, 0
    for agent, _wait in chain:
        if agent == address:
            places += 1
        elif not places:
            before += 1
    return chain[before:] if places >= concurrency else ()
