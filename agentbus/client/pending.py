"""Requests that wait for their ack: who asked, until when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
_EARLY = 1e-6  # Timers may fire a hair early.


class PendingRequests(Generic[T]):
    """Correlate requests with their answers by the tail of their frames, which holds the `requestId`.

    An ack ends with the very tail of its request, so most are recognised without being parsed. Ids are a
    counter: deterministic, and unique on one connection, which is all that the protocol asks. All requests
    have the same time-out, so the oldest entry is always the next to run out.

    Args:
        timeout: seconds that each request may take.
        capacity: requests that may wait at the same time.
    """

    __slots__ = ("_capacity", "_count", "_entries", "_timeout")

    def __init__(self, timeout: float, capacity: int) -> None:
        self._timeout = timeout
        self._capacity = capacity
        self._entries: dict[bytes, tuple[float, T]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, tail: object) -> bool:
        return tail in self._entries

    def add(self, request: T, now: float) -> bytes | None:
        """Name a request, and wait for its answer from now on.

        Returns:
            The tail of its frame; None if that were one request too many.
        """
        entries = self._entries
        if len(entries) >= self._capacity:
            return None
        self._count += 1
        tail = b',"requestId":"%d"}' % self._count  # `request_tail` of the number, in one step
        entries[tail] = (now + self._timeout, request)
        return tail

    def take(self, tail: bytes) -> T | None:
        """Remove and return the request of that tail; None if it is answered, too late, or never was."""
        entry = self._entries.pop(tail, None)
        return None if entry is None else entry[1]

    def next_deadline(self) -> float | None:
        """Return when the oldest request runs out of time."""
        for deadline, _ in self._entries.values():
            return deadline
        return None

    def take_expired(self, now: float) -> Iterator[tuple[bytes, T]]:
        """Remove and yield what has run out of time, oldest first."""
        while self._entries:
            tail, (deadline, request) = next(iter(self._entries.items()))
            if deadline > now + _EARLY:
                return
            del self._entries[tail]
            yield tail, request

    def take_all(self) -> Iterator[tuple[bytes, T]]:
        """Remove and yield everything, oldest first."""
        while self._entries:
            tail = next(iter(self._entries))
            yield tail, self._entries.pop(tail)[1]
