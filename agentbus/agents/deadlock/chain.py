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
    first, places = 0, 0
    for place, (agent, _wait) in enumerate(chain):
        if agent == address:
            first = first if places else place
            places += 1
    return chain[first:] if places >= concurrency else ()
