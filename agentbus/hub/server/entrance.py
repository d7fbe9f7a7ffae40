"""The sockets that have shown no credential yet: how many there may be, and what is noted of the refused."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from agentbus.hub.server.journal import Journal
from agentbus.runtime.loop import Loop

MOST_UNAUTHENTICATED = 2000
"""Sockets without an accepted credential that a hub holds, unless it is configured otherwise."""

CHECK_INTERVAL = 0.5
"""Seconds between two looks while there are too many; who is there at two in a row may have to go."""

MOST_TIMES = 8
"""So many times the cap is the end of all patience."""

REASON_DROPPED = "unauthenticated"


class Knocking(Protocol):
    """A socket whose other end has not been let in.

    It is in a TLS handshake, before or between HTTP requests, or was turned away and is still there.
    """

    def drop(self) -> None:
        """End it at once; one that nothing was noted of so far is noted as `REASON_DROPPED`."""
        ...


class Entrance:
    """Bounds the sockets that are not authenticated: with too many, the oldest have to go.

    The oldest, because a client with a credential shows it within a round trip, while whoever wants to keep
    others out has to hold his sockets. A storm of honest clients is let be: nobody has to go before two looks
    in a row, `CHECK_INTERVAL` apart, have found him, and the loop has read what he said by the second.

    Args:
        loop: whose time it is.
        refused: where refusals are counted, by reason.
        journal: what writes them down.
        most: how many there may be.

    Attributes:
        waiting: the sockets, the oldest first, each with its number.
    """

    def __init__(
        self, loop: Loop, refused: Counter[str], journal: Journal, most: int = MOST_UNAUTHENTICATED
    ) -> None:
        self.waiting: dict[Knocking, int] = {}
        self._loop = loop
        self._refused = refused
        self._journal = journal
        self._most = most
        self._checking = False
        self._entered = 0
        self._seen = 0  # the newest number at the last look

    def enter(self, one: Knocking) -> None:
        """Hold one more."""
        self._entered += 1
        self.waiting[one] = self._entered
        if len(self.waiting) > self._most * MOST_TIMES:
            self._drop_oldest()
        elif len(self.waiting) > self._most and not self._checking:
            self._checking = True
            self._seen = 0
            self._look()

    def leave(self, one: Knocking) -> None:
        """Hold it no more: it is let in, or gone."""
        self.waiting.pop(one, None)

    def refuse(self, reason: str, address: str) -> None:
        """Note that a connection did not get in, by HTTP status or close code."""
        self._refused[reason] += 1
        self._journal.refused(reason, address)

    def _look(self) -> None:
        while len(self.waiting) > self._most and next(iter(self.waiting.values())) <= self._seen:
            self._drop_oldest()
        self._seen = self._entered
        self._checking = len(self.waiting) > self._most
        if self._checking:
            self._loop.call_later(CHECK_INTERVAL, self._read_first)

    def _read_first(self) -> None:
        # A timer comes before the reads of its turn of the loop; two turns later they are done.
        self._loop.asyncio_loop.call_soon(self._loop.asyncio_loop.call_soon, self._look)

    def _drop_oldest(self) -> None:
        oldest = next(iter(self.waiting))
        del self.waiting[oldest]
        oldest.drop()
