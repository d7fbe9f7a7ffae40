"""What an actor has running on its loop besides its mailbox: coroutines and timers. Both end with it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from agentbus.runtime.virtual import VirtualLoop

if TYPE_CHECKING:
    from agentbus.runtime.loop import Loop
    from agentbus.runtime.suspended import Suspended

Then = Callable[[Any, BaseException | None], object]
"""Called once with what a coroutine returned and None, or with None and what it raised."""


class OwnedTasks:
    """The coroutines that one actor runs. On the loop's thread only.

    Args:
        loop: where they run.
    """

    __slots__ = ("_loop", "_on_empty", "_running")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._on_empty: Callable[[], object] | None = None
        self._running: dict[asyncio.Task[_Outcome], tuple[Coroutine[Any, Any, Any], Then]] = {}

    def __len__(self) -> int:
        """Count those that have not ended."""
        return len(self._running)

    def start(self, coroutine: Coroutine[Any, Any, Any], then: Then) -> asyncio.Task[Any]:
        """Run a coroutine, and `then` when it has ended in whatever way."""
        task = _start(self._loop, self._contained(coroutine, copy_context()))
        self._running[task] = (coroutine, then)
        if task.done():
            self._ended(task)
        else:
            task.add_done_callback(self._ended)
        return task

    def adopt(
        self, task: asyncio.Task[Any], suspended: Suspended, then: Then
    ) -> Coroutine[Any, Any, _Outcome]:
        """Run what has begun in a task to its end, and `then`; that task has to await the result."""
        self._running[task] = (suspended.coroutine, then)
        task.add_done_callback(self._ended, context=suspended.context)
        return self._contained(suspended, suspended.context)

    async def _contained(self, coroutine: Awaitable[Any], context: Context) -> _Outcome:
        """Turn failures into values: asyncio lets `SystemExit` out of a task, and with it out of the loop.

        What follows begins in the task's last step, in the context of who started it: a callback of the task
        would come a turn of the loop later. That is left to who is cancelled, or ended before `start` did.
        """
        try:
            value, error = await coroutine, None
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as raised:
            if is_interrupt(raised):
                raise
            value, error = None, raised
        task = asyncio.current_task()
        entry = None if task is None else self._running.pop(task, None)
        if task is not None and entry is not None:
            task.remove_done_callback(self._ended)
            context.run(entry[1], value, error)
            self._look_if_empty()
        return value, error

    def cancel(self) -> None:
        """Cancel all; each `then` gets a `CancelledError` once its coroutine has given in."""
        for task in list(self._running):
            task.cancel()

    def abandon(self) -> None:
        """Wait no more for those that don't give in: what they still do is nobody's business."""
        self._running.clear()
        self._look_if_empty()

    def when_empty(self, then: Callable[[], object]) -> None:
        """Call `then` once, when all have ended; at once if they have."""
        self._on_empty = then
        self._look_if_empty()

    def _ended(self, task: asyncio.Task[_Outcome]) -> None:
        coroutine, then = self._running.pop(task, (None, None))
        value, error = _outcome(task)
        if coroutine is not None and then is not None:
            coroutine.close()  # cancelled before its first step, it has never been awaited
            then(value, error)
        self._look_if_empty()

    def _look_if_empty(self) -> None:
        if not self._running and self._on_empty is not None:
            then, self._on_empty = self._on_empty, None
            then()


_Outcome = tuple[Any, BaseException | None]


def is_interrupt(error: BaseException) -> bool:
    """Whether this is a Ctrl-C that belongs to the program and not to the code that it hit."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def _outcome(task: asyncio.Task[_Outcome]) -> _Outcome:
    if task.cancelled():
        return None, asyncio.CancelledError()
    error = task.exception()
    return (None, error) if error is not None else task.result()


def _start(loop: Loop, coroutine: Coroutine[Any, Any, _Outcome]) -> asyncio.Task[_Outcome]:
    if isinstance(loop.asyncio_loop, VirtualLoop):  # it names and counts its tasks
        return loop.create_task(coroutine)
    if sys.version_info >= (3, 12):  # begins at once: one that never suspends never meets the scheduler
        return asyncio.Task(coroutine, loop=loop.asyncio_loop, eager_start=True)
    return loop.asyncio_loop.create_task(coroutine)  # kept here, so that the loop need not


class OwnedTimer:
    """A call that an actor has put off.

    Attributes:
        cancelled: whether it was called off.
    """

    __slots__ = ("_handle", "_owner", "_work", "cancelled")

    def __init__(self, owner: OwnedTimers, work: Callable[[], object]) -> None:
        self._owner = owner
        self._work = work
        self._handle: asyncio.TimerHandle | None = None
        self.cancelled = False

    def start(self, loop: Loop, delay: float) -> None:
        """Begin to wait; on the loop's thread."""
        if not self.cancelled:
            self._handle = loop.call_later(delay, self._due)

    def cancel(self) -> None:
        """Call it off; nothing happens if it has been called."""
        self.cancelled = True
        self._owner.forget(self)
        if self._handle is not None:
            self._handle.cancel()

    def _due(self) -> None:
        self._owner.forget(self)
        self._work()


class OwnedTimers:
    """The timers of one actor. On the loop's thread only."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[OwnedTimer, None] = {}

    def __len__(self) -> int:
        """Count those that wait."""
        return len(self._waiting)

    def call_later(self, loop: Loop, delay: float, work: Callable[[], object]) -> OwnedTimer:
        """Call `work()` in `delay` seconds, unless the owner ends before."""
        timer = OwnedTimer(self, work)
        self._waiting[timer] = None
        timer.start(loop, delay)
        return timer

    def forget(self, timer: OwnedTimer) -> None:
        """Drop a timer that is over."""
        self._waiting.pop(timer, None)

    def cancel(self) -> None:
        """Call all off."""
        for timer in list(self._waiting):
            timer.cancel()
