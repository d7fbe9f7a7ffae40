"""Who hosts a queue, as the directory shows it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agentbus.agents.address import Address
from agentbus.agents.finder import Sighting
from agentbus.agents.nodes import NodeState


class Claim(msgspec.Struct, frozen=True, order=True):
    """A host's claim to a queue; the highest holds.

    Attributes:
        epoch: of its store.
        address: of the host, which tells two apart whose stores know nothing of each other.
    """

    epoch: int
    address: Address


def claim_of(sighting: Sighting) -> Claim:
    """Give what a queue agent claims."""
    epoch = sighting.entry.metadata.get("epoch", 0)
    return Claim(epoch if isinstance(epoch, int) else 0, sighting.address)


def best_host(sightings: Iterable[Sighting]) -> Address | None:
    """Give the host that is asked: one that is reached, of several the one whose claim holds."""
    found = max(
        sightings, key=lambda each: (each.node_state is NodeState.ALIVE, claim_of(each)), default=None
    )
    return None if found is None else found.address


def other_host(sightings: Iterable[Sighting], node: str) -> Address | None:
    """Give another node's host that is not known to be dead; None if this node may be the host."""
    return best_host(each for each in sightings if each.address.node != node)


def died(host: Sighting, died_with: str) -> bool:
    """Whether a host's process is dead for certain: it had the store to its end, and nobody reaches it.

    Args:
        host: as the directory shows it.
        died_with: who held the store's claim and died with it; see `QueueStore.claim`.
    """
    return str(host.address) == died_with and host.node_state is NodeState.SUSPECT


def higher_claim(own: Claim, sightings: Iterable[Sighting]) -> Address | None:
    """Give a host whose claim is above one's own, which is to end then."""
    above = [claim for claim in map(claim_of, sightings) if claim > own]
    return max(above).address if above else None
