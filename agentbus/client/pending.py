"""Requests that wait for their ack: who asked, until when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
_EARLY = 1e-6  # Timers may fire a hair early.


class PendingRequests(Generic[T]):
    """Correlate requests with their answers by `requestId`.

    Ids are a counter: deterministic, and unique on one connection, which is all that the protocol asks. All
    requests have the same time-out, so the oldest entry is always the next to run out.

    Args:
        timeout: seconds that each request may take.
        capacity: requests that may wait at the same time.
    """

    __slots__ = ("_capacity", "_count", "_entries", "_timeout")

    def __init__(self, timeout: float, capacity: int) -> None:
        self._timeout = timeout
        self._capacity = capacity
        self._entries: dict[str, tuple[float, T]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, request_id: object) -> bool:
        return request_id in self._entries

    def next_id(self) -> str:
        """Name the next request."""
        self._count += 1
        return str(self._count)

    def add(self, request_id: str, request: T, now: float) -> bool:
        """Wait for an answer from now on; False if that were one request too many."""
        entries = self._entries
        if len(entries) >= self._capacity:
            return False
        entries[request_id] = (now + self._timeout, request)
        return True

    def take(self, request_id: str) -> T | None:
        """Remove and return the request of that id; None if it is answered, too late, or never was."""
        entry = self._entries.pop(request_id, None)
        return None if entry is None else entry[1]

    def next_deadline(self) -> float | None:
        """Return when the oldest request runs out of time."""
        for deadline, _ in self._entries.values():
            return deadline
        return None

    def take_expired(self, now: float) -> Iterator[tuple[str, T]]:
        """Remove and yield what has run out of time, oldest first."""
        while self._entries:
            request_id, (deadline, request) = next(iter(self._entries.items()))
            if deadline > now + _EARLY:
                return
            del self._entries[request_id]
            yield request_id, request

    def take_all(self) -> Iterator[tuple[str, T]]:
        """Remove and yield everything, oldest first."""
        while self._entries:
            request_id = next(iter(self._entries))
            yield request_id, self._entries.pop(request_id)[1]
