"""The sockets that have shown no credential yet: how many there may be, and what is noted of the refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Protocol

from agentbus.hub.server.journal import Journal
from agentbus.runtime.loop import Loop

MOST_UNAUTHENTICATED = 2000
"""Sockets without an accepted credential that a hub holds, unless it is configured otherwise."""

GRACE = 0.1
"""Seconds that a burst of connects has to say what it wants before its excess is dropped."""

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
    others out has to hold his sockets. A burst of honest clients, which come in before the loop has read from
    one of them, gets a moment: the excess is dropped `GRACE` seconds later, or at once beyond twice the cap.

    Args:
        loop: whose time it is.
        refused: where refusals are counted, by reason.
        journal: what writes them down.
        most: how many there may be.

    Attributes:
        waiting: the sockets, the oldest first.
    """

    def __init__(
        self, loop: Loop, refused: Counter[str], journal: Journal, most: int = MOST_UNAUTHENTICATED
    ) -> None:
        self.waiting: dict[Knocking, None] = {}
        self._loop = loop
        self._refused = refused
        self._journal = journal
        self._most = most
        self._trimming: asyncio.TimerHandle | None = None

    def enter(self, one: Knocking) -> None:
        """Hold one more."""
        self.waiting[one] = None
        excess = len(self.waiting) - self._most
        if excess > self._most:
            self._drop_oldest()
        elif excess > 0 and self._trimming is None:
            self._trimming = self._loop.call_later(GRACE, self._trim)

    def leave(self, one: Knocking) -> None:
        """Hold it no more: it is let in, or gone."""
        self.waiting.pop(one, None)

    def refuse(self, reason: str, address: str) -> None:
        """Note that a connection did not get in, by HTTP status or close code."""
        self._refused[reason] += 1
        self._journal.refused(reason, address)

    def _trim(self) -> None:
        self._trimming = None
        while len(self.waiting) > self._most:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = next(iter(self.waiting))
        del self.waiting[oldest]
        oldest.drop()
