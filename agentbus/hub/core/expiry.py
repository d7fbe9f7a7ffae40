"""Who has to leave when: connections ordered by the end of their token."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

T = TypeVar("T")


class _Entry(Generic[T]):
    __slots__ = ("at", "item", "order")

    def __init__(self, at: float, order: int, item: T | None) -> None:
        self.at = at
        self.order = order
        self.item = item

    def __lt__(self, other: _Entry[T]) -> bool:
        return (self.at, self.order) < (other.at, other.order)


class ExpiryQueue(Generic[T]):
    """A heap with removal: an item is forgotten at once, its empty slot when half of the slots are empty."""

    __slots__ = ("_entries", "_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[_Entry[T]] = []
        self._entries: dict[T, _Entry[T]] = {}
        self._order = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, item: T, at: float) -> None:
        """Remember that `item` ends at `at` (Unix seconds)."""
        self._order += 1
        entry = _Entry(at, self._order, item)
        self._entries[item] = entry
        heapq.heappush(self._heap, entry)

    def discard(self, item: T) -> None:
        """Forget `item`, if it is known."""
        entry = self._entries.pop(item, None)
        if entry is None:
            return
        entry.item = None
        if len(self._heap) > 2 * len(self._entries):
            self._heap = [entry for entry in self._heap if entry.item is not None]
            heapq.heapify(self._heap)

    def next_at(self) -> float | None:
        """Return when the first one ends."""
        while self._heap and self._heap[0].item is None:
            heapq.heappop(self._heap)
        return self._heap[0].at if self._heap else None

    def pop_due(self, now: float) -> list[T]:
        """Remove and return all that end at or before `now`, the first first."""
        due: list[T] = []
        while self._heap and (self._heap[0].item is None or self._heap[0].at <= now):
            item = heapq.heappop(self._heap).item
            if item is not None:
                del self._entries[item]
                due.append(item)
        return due

    def clear(self) -> None:
        """Forget everything."""
        self._heap.clear()
        self._entries.clear()
