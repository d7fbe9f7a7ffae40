"""Say the same thing seldom: a pure rule for logs that a hostile hub could fill."""

from __future__ import annotations

LOG_INTERVAL = 10.0
"""Seconds between two lines about the same kind of trouble."""


class Throttle:
    """Decide which of many equal complaints is said aloud.

    Args:
        interval: seconds between two that are.
    """

    __slots__ = ("_interval", "_next_at", "_unsaid")

    def __init__(self, interval: float = LOG_INTERVAL) -> None:
        self._interval = interval
        self._next_at = float("-inf")
        self._unsaid = 0

    def complain(self, now: float) -> int:
        """Count one more: how many a line said now speaks for, or 0 for silence."""
        self._unsaid += 1
        if now < self._next_at:
            return 0
        self._next_at = now + self._interval
        said, self._unsaid = self._unsaid, 0
        return said
