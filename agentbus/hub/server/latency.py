"""How long messages take through the hub: a sampled histogram that costs nothing between its samples."""

from __future__ import annotations

from bisect import bisect_left
from math import inf

BOUNDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Upper bounds of the buckets in seconds; one more takes the rest."""

SAMPLE_INTERVAL = 0.05
"""Seconds between the beginnings of two samples."""


class Handover:
    """Samples the time from the arrival of frames to the hand-over of what they caused to the network.

    Who reads looks at `due` and calls `begin` at a chunk that comes later than it; `pending` then says that
    `end` is to be called once that turn's writes are done.

    Args:
        interval: seconds between two samples.

    Attributes:
        due: monotonic time from which on the next chunk is sampled; infinity while one is.
        pending: whether a sample is under way.
        counts: samples per bucket; the last is above all bounds.
        total: seconds of all samples together.
    """

    __slots__ = ("_began", "_interval", "counts", "due", "pending", "total")

    def __init__(self, interval: float = SAMPLE_INTERVAL) -> None:
        self._interval = interval
        self._began = 0.0
        self.due = -inf
        self.pending = False
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def begin(self, now: float) -> None:
        """Begin a sample at the arrival of a chunk."""
        self._began = now
        self.due = inf
        self.pending = True

    def end(self, now: float) -> None:
        """End it: all that the chunk caused has been written."""
        took = max(0.0, now - self._began)
        self.counts[bisect_left(BOUNDS, took)] += 1
        self.total += took
        self.due = self._began + self._interval
        self.pending = False

    def buckets(self) -> list[tuple[str, float]]:
        """Return the cumulated counts as Prometheus has them: upper bound and count, `+Inf` last."""
        found: list[tuple[str, float]] = []
        so_far = 0
        for bound, count in zip((*BOUNDS, inf), self.counts, strict=True):
            so_far += count
            found.append(("+Inf" if bound == inf else repr(bound), so_far))
        return found
