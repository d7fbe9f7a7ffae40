"""Counts by name that are exact however many threads count."""

from __future__ import annotations

import threading


class Tally:
    """How often each of a few names was counted; the names are words of the program, so they are few."""

    __slots__ = ("_counts", "_lock")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, name: str) -> None:
        """Count one more; from any thread."""
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + 1

    def counts(self) -> dict[str, int]:
        """Give the counts as they are now."""
        with self._lock:
            return dict(self._counts)

    @property
    def total(self) -> int:
        """How often anything was counted."""
        with self._lock:
            return sum(self._counts.values())
