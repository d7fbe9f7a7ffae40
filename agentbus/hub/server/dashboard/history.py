"""Ten minutes of an app's counts: a ring of samples that never grows. Times are monotonic seconds."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

from agentbus.hub.core.app import App

STEP = 2.0
"""Seconds between two samples."""

WINDOW = 600.0
"""Seconds that are remembered."""

Points = list[tuple[float, float]]
"""Time and value, the oldest first."""


class Sample(NamedTuple):
    """What an app's counters say at one moment; `messages` and `delivered` only grow, but see `rates`."""

    at: float
    connections: float
    channels: float
    messages: float
    delivered: float


WIDTH = len(Sample._fields)


class History:
    """The latest samples of one app.

    Args:
        capacity: how many are kept; one more takes the place of the oldest.
    """

    __slots__ = ("_capacity", "_count", "_values")

    def __init__(self, capacity: int = int(WINDOW / STEP) + 1) -> None:
        self._capacity = capacity
        self._values = array("d", bytes(8 * WIDTH * capacity))  # a tenth of what objects would take
        self._count = 0

    def __len__(self) -> int:
        return min(self._count, self._capacity)

    def record(self, sample: Sample) -> None:
        """Add the latest sample."""
        place = self._count % self._capacity * WIDTH
        self._values[place : place + WIDTH] = array("d", sample)
        self._count += 1

    def samples(self) -> list[Sample]:
        """Return what is kept, the oldest first."""
        first = max(0, self._count - self._capacity)
        return [self._at(index % self._capacity * WIDTH) for index in range(first, self._count)]

    def _at(self, place: int) -> Sample:
        return Sample(*self._values[place : place + WIDTH])


class Histories:
    """The history of every app of a hub."""

    def __init__(self) -> None:
        self._histories: dict[str, History] = {}

    def record(self, apps: Collection[App], now: float) -> None:
        """Sample every app; those that are gone are forgotten."""
        before, self._histories = self._histories, {}
        for app in apps:
            history = self._histories[app.id] = before.get(app.id) or History()
            history.record(sample_of(app, now))

    def samples(self, app: str) -> list[Sample]:
        """Return what is known of an app, the oldest first."""
        history = self._histories.get(app)
        return [] if history is None else history.samples()


def sample_of(app: App, now: float) -> Sample:
    """Read an app's counters."""
    return Sample(now, app.meter.concurrent, len(app.channels), app.meter.messages, app.statistics.delivered)


def rates(samples: Sequence[Sample], counter: str) -> Points:
    """Turn a counter into changes per second, each at the end of its step.

    A counter that became less began anew, as `messages` does each month: then what it says is the change.
    """
    found: Points = []
    for before, after in pairwise(samples):
        seconds = after.at - before.at
        change: float = getattr(after, counter) - getattr(before, counter)
        if seconds > 0:
            found.append((after.at, (change if change >= 0 else getattr(after, counter)) / seconds))
    return found


def levels(samples: Sequence[Sample], gauge: str) -> Points:
    """Take one value of each sample as it is."""
    return [(sample.at, getattr(sample, gauge)) for sample in samples]
