"""When the demo harms itself: one worker process killed, one connection cut, both in the middle of work."""

from __future__ import annotations

from enum import Enum


class Harm(Enum):
    """What is done to the worker that a file is on its way to."""

    KILL = "kill"
    CUT = "cut"


def plan_harm(files: int, *, enabled: bool) -> tuple[tuple[Harm, int], ...]:
    """Say which harm comes with which file, in order.

    The kill comes a quarter into the work, the cut in its middle; in a small folder both may come with one
    file, the cut when it goes out again. So both always happen, and always to a worker that has a file.

    Args:
        files: how many there are.
        enabled: nothing is harmed otherwise.
    """
    return ((Harm.KILL, files // 4), (Harm.CUT, files // 2)) if enabled and files else ()
