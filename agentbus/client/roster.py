"""Who is in a channel: a snapshot, then deltas. Spec section 4."""

from __future__ import annotations

from agentbus.client.events import PresenceEvent, PresencePeer


class Roster:
    """The peers of one channel, in the order in which they came."""

    __slots__ = ("_peers",)

    def __init__(self) -> None:
        self._peers: dict[str, PresencePeer] = {}

    def apply(self, event: PresenceEvent) -> None:
        """Take in a snapshot, or a delta to what is known. Whoever is in both lists of a delta is there."""
        peers: dict[str, PresencePeer] = {} if event.is_snapshot else self._peers
        for peer in event.left:
            peers.pop(peer.peer_id, None)
        for peer in event.joined:
            peers[peer.peer_id] = peer
        self._peers = peers

    def peers(self) -> tuple[PresencePeer, ...]:
        """Return who is there; any thread may ask."""
        return tuple(self._peers.values())
