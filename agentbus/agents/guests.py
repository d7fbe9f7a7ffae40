"""Peers without a node's token that talk to us. Pure.

They are in no directory; where to answer them is known from their own packets alone. Their incarnation is
told only to those they talk to, so nobody else can speak in their name, and it may move with them from one
connection to the next.
"""

from __future__ import annotations

import hashlib

import msgspec

from agentbus.agents.address import Address, parse_address
from agentbus.agents.envelope import Envelope, Stamp
from agentbus.agents.headers import GUESTS_KEY
from agentbus.errors import InvalidNameError

GUESTS_NODE = "guest:"
"""Before its peer id, the node part of a guest's address: no node is reached there, and none is meant."""

NAMELESS = "guest"
"""The agent part where a guest does not name one of its own."""

MAX_GUESTS = 1000
MAX_SILENCE = 60.0


class Guests:
    """Where guests are reached, and when they were last heard; the longest silent one makes room."""

    def __init__(self) -> None:
        self._peers: dict[Stamp, tuple[str, float]] = {}

    def __len__(self) -> int:
        """Count the known guests."""
        return len(self._peers)

    def heard(self, stamp: Stamp, peer: str, now: float) -> bool:
        """Note a packet; False if it comes from one guest too many, until silent ones have made room."""
        known = self._peers.pop(stamp, None) is not None
        if not known and len(self._peers) >= 2 * MAX_GUESTS:
            return False
        self._peers[stamp] = (peer, now)
        return True

    def peer(self, stamp: Stamp) -> str | None:
        """Give where a guest is reached."""
        known = self._peers.get(stamp)
        return None if known is None else known[0]

    def take_gone(self, now: float) -> list[Stamp]:
        """Forget and give those that were silent for a minute, or are too many."""
        too_many = max(0, len(self._peers) - MAX_GUESTS)
        gone = [
            stamp
            for place, (stamp, (_, heard_at)) in enumerate(self._peers.items())
            if place < too_many or now - heard_at > MAX_SILENCE
        ]
        for stamp in gone:
            del self._peers[stamp]
        return gone


def as_guest(envelope: Envelope, namespace: str, peer: str) -> Envelope:
    """Take from an envelope what a guest may not say of itself.

    Nobody asks a guest's agents, so none of ours waits for them: it has no chain. Its sender is its peer as
    the hub stamps it, and so no agent of a node's, and no program of this bus either. A key of its own is no
    other's: it neither gets nor spoils what somebody else is answered.

    Args:
        envelope: as it came.
        namespace: of this node.
        peer: the guest's peer id.
    """
    sender = guest_address(namespace, peer, envelope.sender)
    key = None if envelope.key is None else guest_key(peer, envelope.key)
    return msgspec.structs.replace(envelope, chain=(), sender=sender, key=key)


def guest_address(namespace: str, peer: str, claimed: str | None) -> str:
    """Give the address of a guest, or of the agent of its own that it names."""
    agent = NAMELESS
    if claimed is not None:
        try:
            agent = parse_address(claimed, namespace=namespace, node=peer).agent
        except InvalidNameError:
            agent = NAMELESS
    try:
        return str(Address(namespace, GUESTS_NODE + peer, agent))
    except InvalidNameError:
        return str(Address(namespace, GUESTS_NODE + _digest(peer), agent))


def guest_key(peer: str, key: str) -> str:
    """Give a guest's key as a stored agent knows it: one of that peer alone, whatever length it had."""
    return GUESTS_KEY + _digest(f"{len(peer)} {peer} {key}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
