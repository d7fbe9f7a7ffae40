"""Sends to peers of other hubs, until those have answered.

A send goes to the hubs that are known to hold its peer, or to all where none is known. If all of them answer
that the peer is not there, it goes to those that were not asked yet: the peer may have moved meanwhile. Only
when nobody is left to ask is the peer not found. The first hub that has handed it over settles it, so that a
hub that just died holds nobody up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum

from agentbus.hub.core.session import Session

MAX_ASKS_PER_APP = 10_000
"""Sends of one app that may wait for answers; one more is a `backend_error`."""


class Outcome(Enum):
    """How a send ended."""

    HANDED_OVER = "handed over"
    NOWHERE = "nowhere"
    UNKNOWN = "unknown"


class Ask:
    """One send that waits.

    Attributes:
        session: who sent it.
        request_id: of its frame.
        peer: who it is for.
        data: the payload.
        asked: the lives of the hubs that were asked so far.
        waiting: those that have not answered.
        handed: connections that have it.
        failed: whether a hub was lost before it answered.
        message_id: under which a repeat is recognised; it may be tried again if the peer is nowhere.
        due: monotonic seconds at which it is given up.
    """

    __slots__ = (
        "asked",
        "data",
        "due",
        "failed",
        "handed",
        "message_id",
        "peer",
        "request_id",
        "session",
        "waiting",
    )

    def __init__(self, session: Session, request_id: str | None, peer: str, data: bytes, due: float) -> None:
        self.session = session
        self.request_id = request_id
        self.peer = peer
        self.data = data
        self.due = due
        self.asked: set[str] = set()
        self.waiting: set[str] = set()
        self.handed = 0
        self.failed = False
        self.message_id: str | None = None

    @property
    def outcome(self) -> Outcome:
        """What is known when nobody is waited for any more."""
        if self.handed:
            return Outcome.HANDED_OVER
        return Outcome.UNKNOWN if self.failed or self.waiting else Outcome.NOWHERE


class Asks:
    """All sends that wait, the oldest first; all wait equally long."""

    __slots__ = ("_by_app", "_last", "_open")

    def __init__(self) -> None:
        self._open: dict[int, Ask] = {}
        self._by_app: Counter[str] = Counter()
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    def has_room(self, app: str) -> bool:
        """Tell whether another send of an app may wait."""
        return self._by_app[app] < MAX_ASKS_PER_APP

    def add(self, ask: Ask) -> int:
        """Let a send wait; return its number."""
        self._last += 1
        self._open[self._last] = ask
        self._by_app[ask.session.app.id] += 1
        return self._last

    def get(self, number: int) -> Ask | None:
        """Return a send that waits."""
        return self._open.get(number)

    def remove(self, number: int) -> None:
        """Let a send wait no more."""
        ask = self._open.pop(number)
        app = ask.session.app.id
        self._by_app[app] -= 1
        if not self._by_app[app]:
            del self._by_app[app]

    def next_due(self) -> float | None:
        """Return when the oldest is given up."""
        return next(iter(self._open.values())).due if self._open else None

    def due(self, now: float) -> list[int]:
        """Return the numbers of those that are given up at `now`."""
        numbers: list[int] = []
        for number, ask in self._open.items():
            if ask.due > now:
                break
            numbers.append(number)
        return numbers

    def waiting_for(self, life: str) -> list[int]:
        """Return the numbers of those that wait for a hub."""
        return [number for number, ask in self._open.items() if life in ask.waiting]

    def all(self) -> Iterable[int]:
        """Return all numbers."""
        return list(self._open)
