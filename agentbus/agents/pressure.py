"""What nodes tell each other about full agents: hold back, go on. On the I/O loop."""

from __future__ import annotations

from collections.abc import Callable

from agentbus.agents.envelope import Envelope, Kind, Stamp, encode_envelope
from agentbus.agents.traffic import Traffic


class Pressure:
    """Back pressure per agent, over the links.

    Args:
        traffic: the links.
        now: gives the time.
        flush: has the node let out what is due.
    """

    def __init__(self, traffic: Traffic, now: Callable[[], float], flush: Callable[[], object]) -> None:
        self._traffic = traffic
        self._now = now
        self._flush = flush

    def notify(self, stamp: Stamp, kind: Kind, agent: str) -> None:
        """Tell a node that one of our agents is full, or no more."""
        link = self._traffic.link(stamp)
        if link is not None:
            link.post_notice(encode_envelope(Envelope("", kind, recipient=agent)))
            self._traffic.touch(link)
            self._flush()

    def on_hold(self, stamp: Stamp, _sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        """Hold back what is for an agent of another node."""
        link = self._traffic.link(stamp)
        if link is not None:
            link.hold(envelope.recipient)

    def on_release(self, stamp: Stamp, _sequence: int, envelope: Envelope, _deadline: float | None) -> None:
        """Let go on what was held back for it."""
        link = self._traffic.link(stamp)
        if link is not None:
            link.release(envelope.recipient)
            self._traffic.touch(link)
