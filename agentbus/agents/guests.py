"""Peers without a node's token that talk to us. Pure.

They are in no directory; where to answer them is known from their own packets alone. Their incarnation is
told only to those they talk to, so nobody else can speak in their name, and it may move with them from one
connection to the next.
"""

from __future__ import annotations

from agentbus.agents.envelope import Stamp

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
