"""The only place that reads a clock; everything else is given one."""

from __future__ import annotations

import time
from typing import Protocol

VIRTUAL_EPOCH = 1_735_689_600.0
"""Wall time at which virtual worlds begin: 2025-01-01T00:00:00Z."""


class Clock(Protocol):
    """Two times: one to measure with, one to show."""

    def monotonic(self) -> float:
        """Give seconds since some fixed moment; never goes back."""
        ...

    def wall(self) -> float:
        """Give seconds since 1970-01-01T00:00:00Z; may jump."""
        ...


class SystemClock:
    """The machine's clock."""

    __slots__ = ()

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


class VirtualClock:
    """A clock that stands still until it is moved.

    Args:
        epoch: wall time at the beginning, in seconds since 1970.
    """

    __slots__ = ("_epoch", "_now")

    def __init__(self, epoch: float = VIRTUAL_EPOCH) -> None:
        self._epoch = epoch
        self._now = 0.0

    def monotonic(self) -> float:
        """Give virtual seconds since the beginning."""
        return self._now

    def wall(self) -> float:
        """Give the epoch plus the virtual seconds since the beginning."""
        return self._epoch + self._now

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`.

        Raises:
            ValueError: `seconds` is negative: time never goes back.
        """
        if not seconds >= 0:
            raise ValueError(f"time can't go back by {-seconds:g} s")
        self._now += seconds

    def move_to(self, moment: float) -> None:
        """Move on to a monotonic time; an earlier one changes nothing."""
        self._now = max(self._now, moment)

    def step_wall(self, seconds: float) -> None:
        """Let wall time jump, as when an operator or NTP sets the clock; monotonic time does not notice."""
        self._epoch += seconds
