"""The geometry of a plot: points in, the path of an SVG out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

WIDTH = 600.0
HEIGHT = 120.0
"""Of the drawing, in its own units: it is stretched to the space that there is."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One drawn line.

    Attributes:
        line: the path of the line; "" for fewer than two points.
        area: the path of what lies under it.
        top: the value at the upper edge; the lower one is 0.
        latest: the newest value.
        peak: the largest value.
    """

    line: str
    area: str
    top: float
    latest: float
    peak: float


def plot(points: Sequence[tuple[float, float]], window: float) -> Plot:
    """Draw points, so that the newest is at the right edge.

    Args:
        points: time and value, the oldest first; values are 0 or more.
        window: seconds from the left edge to the right one.
    """
    latest = points[-1][1] if points else 0.0
    peak = max((value for _, value in points), default=0.0)
    top = round_up(peak)
    if len(points) < 2:
        return Plot("", "", top, latest, peak)
    end = points[-1][0]
    places = [
        (WIDTH * (1 - (end - at) / window), HEIGHT * (1 - value / top))
        for at, value in points
        if end - at <= window
    ]
    line = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places)
    area = f"{line}L{places[-1][0]:.1f},{HEIGHT:g}L{places[0][0]:.1f},{HEIGHT:g}Z"
    return Plot(line, area, top, latest, peak)


def round_up(value: float) -> float:
    """Find the next number of 1, 2, 5, 10, 20, 50, … that is not below `value`; 1 is the least."""
    if value <= 1:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)
