"""Which of the agents that a route finds may take a message, and which of them does. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from agentbus.agents.finder import Sighting
from agentbus.agents.nodes import NodeState
from agentbus.agents.rendezvous import rendezvous
from agentbus.agents.status import AgentStatus

OneBy = Literal["round_robin", "sticky", "least_busy"]

_WAITING = frozenset({AgentStatus.PAUSED, AgentStatus.STALLED})


def that_stay(sightings: Iterable[Sighting]) -> list[Sighting]:
    """Give those that were not asked to end; a suspect node's agents stay until it is dead."""
    return [sighting for sighting in sightings if sighting.status is not AgentStatus.DRAINING]


def that_work(sightings: Iterable[Sighting]) -> list[Sighting]:
    """Give those that take a message now; if there are none, those that will when their node is back."""
    staying = that_stay(sightings)
    reached = [each for each in staying if each.node_state is NodeState.ALIVE]
    working = [each for each in reached if each.status not in _WAITING]
    return working or reached or staying


def pick(by: OneBy, sightings: Iterable[Sighting], *, turn: int, key: str) -> Sighting | None:
    """Pick one; None if there is none.

    Args:
        by: "round_robin": each in turn; "sticky": the same for the same key, as long as it lives;
            "least_busy": who has least to do, of several each in turn.
        sightings: who fits.
        turn: counts the messages of a route.
        key: for "sticky".
    """
    if by == "sticky":
        return rendezvous(key, that_stay(sightings), _label)
    working = that_work(sightings)
    if by == "least_busy":
        working = _least_busy(working)
    return working[turn % len(working)] if working else None


def _label(sighting: Sighting) -> str:
    return f"{sighting.address.node}\0{sighting.address.agent}"


def _least_busy(sightings: Sequence[Sighting]) -> list[Sighting]:
    least = min(map(_load, sightings), default=0)
    return [sighting for sighting in sightings if _load(sighting) == least]


def _load(sighting: Sighting) -> int:
    return sighting.queued + (sighting.status is AgentStatus.BUSY)
