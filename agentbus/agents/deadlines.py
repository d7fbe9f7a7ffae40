"""Ask time-outs: futures that fail when their time has come, on one loop, with one timer for all."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

from agentbus.errors import AskTimeoutError
from agentbus.runtime import Future, Loop

MIN_SWEEP = 1024
MakeError = Callable[[], Exception]


def too_late() -> AskTimeoutError:
    """Make the error for an ask without an answer in time."""
    return AskTimeoutError("the deadline passed before the reply")


def deadline_after(now: float, timeout: float) -> float:
    """Give the deadline of a message.

    Args:
        now: seconds, on the clock of deadlines.
        timeout: seconds from now.

    Raises:
        TypeError: that is no number.
    """
    try:
        return now + timeout
    except TypeError:
        raise TypeError(f"timeout= is a number of seconds, or None, not {timeout!r}") from None


class Deadlines:
    """Fail futures in time. `add` is for any thread; the rest happens on the loop.

    A future that is done meanwhile is forgotten when its time comes, or when such futures make up half of
    what is kept.

    Args:
        loop: whose clock the deadlines are read on.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiting: list[tuple[float, int, Future[Any], MakeError]] = []
        self._numbers = count()
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0
        self._sweep_at = MIN_SWEEP

    def __len__(self) -> int:
        """Count the futures that are kept in mind."""
        return len(self._waiting)

    def add(self, future: Future[Any], deadline: float, error: MakeError = too_late) -> None:
        """Fail the future with what `error()` gives at the deadline, unless it is done before."""
        if self._loop.is_current():
            self._add(future, deadline, error)
        else:
            self._loop.call_soon(self._add, future, deadline, error)

    def _add(self, future: Future[Any], deadline: float, error: MakeError) -> None:
        if future.done():
            return
        heapq.heappush(self._waiting, (deadline, next(self._numbers), future, error))
        if len(self._waiting) >= self._sweep_at:
            self._sweep()
        if self._timer is None or deadline < self._timer_at:
            self._arm()

    def _sweep(self) -> None:
        self._waiting = [entry for entry in self._waiting if not entry[2].done()]
        heapq.heapify(self._waiting)
        self._sweep_at = max(MIN_SWEEP, 2 * len(self._waiting))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            self._timer_at = at = self._waiting[0][0]
            self._timer = self._loop.call_later(at - self._loop.clock.monotonic(), self._due)

    def _due(self) -> None:
        self._timer = None
        now = self._loop.clock.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, future, error = heapq.heappop(self._waiting)
            if not future.done():
                future.try_set_exception(error())
        self._sweep_at = min(self._sweep_at, max(MIN_SWEEP, 2 * len(self._waiting)))
        if self._timer is None:  # who was told may have added one
            self._arm()

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
