"""`Timers`: numbers that are due at a time."""

from __future__ import annotations

import heapq

SLACK = 1024
"""Entries of removed numbers that may still lie about, beyond as many as there are numbers."""


class Timers:
    """Numbers, each due at one time."""

    __slots__ = ("_due", "_heap")

    def __init__(self) -> None:
        self._due: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, number: object) -> bool:
        return number in self._due

    def push(self, number: int, due: float) -> None:
        """Add a number, or change when it is due."""
        self._due[number] = due
        heapq.heappush(self._heap, (due, number))
        self._compact()

    def remove(self, number: int) -> bool:
        """Drop a number; whether it was there."""
        if self._due.pop(number, None) is None:
            return False
        self._compact()
        return True

    def pop(self, now: float) -> int | None:
        """Take the next number that is due; None if none is."""
        first = self._first()
        if first is None or first[0] > now:
            return None
        heapq.heappop(self._heap)
        del self._due[first[1]]
        return first[1]

    def next_due(self) -> float | None:
        """Give when the next number is due."""
        first = self._first()
        return None if first is None else first[0]

    def _first(self) -> tuple[float, int] | None:
        while self._heap:
            due, number = self._heap[0]
            if self._due.get(number) == due:
                return due, number
            heapq.heappop(self._heap)
        return None

    def _compact(self) -> None:
        if len(self._heap) > 2 * len(self._due) + SLACK:
            self._heap = [(due, number) for number, due in self._due.items()]
            heapq.heapify(self._heap)
