"""`QueueClock`: the time of delays and ages, which never goes back and never jumps while a queue is open."""

from __future__ import annotations


class QueueClock:
    """Seconds since 1970 as a queue counts them.

    It begins at the wall time at which the queue is opened, or where it stood when that was last stored if
    that is later, and then runs with the monotonic clock. So time in which nobody hosts the queue counts
    toward a delay, and a wall clock that jumps changes nothing while somebody does.

    Args:
        stored: where it stood when that was last stored; 0 if never.
        now: monotonic seconds.
        wall: seconds since 1970.
    """

    __slots__ = ("_offset",)

    def __init__(self, stored: float, now: float, wall: float) -> None:
        self._offset = max(stored, wall) - now

    def at(self, now: float) -> float:
        """Give the queue's time at a monotonic time."""
        return now + self._offset

    def when(self, time: float) -> float:
        """Give the monotonic time at a time of the queue."""
        return time - self._offset
