"""One event loop that actors live on, and the ways in from any thread."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple

import msgspec

from agentbus.errors import RuntimeFault
from agentbus.runtime import blocking, forks
from agentbus.runtime.clock import Clock, SystemClock
from agentbus.runtime.future import Future
from agentbus.runtime.run_queue import RunQueue
from agentbus.runtime.virtual import VirtualLoop
from agentbus.runtime.wakeup import Burst
from agentbus.runtime.watchdog import Watchdog

T = TypeVar("T")
Args = TypeVarTuple("Args")


class LoopStatistics(msgspec.Struct, frozen=True):
    """What a loop has seen.

    Attributes:
        name: the loop's name.
        lag: seconds that its timers are late now.
        max_lag: the most that they were.
        wakeups: how often it was woken for calls; a burst of calls counts once.
        tasks: coroutines that run on it through `create_task` and `run`.
        blocked: handlers that held it up for longer than its watchdog allows; 0 without one.
    """

    name: str
    lag: float
    max_lag: float
    wakeups: int
    tasks: int
    blocked: int = 0


class Loop(Burst, forks.ProcessBound):
    """An event loop, and the ways in.

    Args:
        name: for threads, logs and statistics.
        loop: the asyncio loop behind it; None where it comes later.
        clock: what the loop's timers agree with.
        watchdog: reports handlers that block it.

    Attributes:
        run_queue: the cells on it that have something to do.
    """

    def __init__(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop | None,
        clock: Clock,
        watchdog: Watchdog | None = None,
    ) -> None:
        Burst.__init__(self, loop)
        forks.ProcessBound.__init__(self)
        self.name = name
        self.clock = clock
        self._tasks: dict[asyncio.Task[Any], Future[Any] | None] = {}
        self._due: float | None = None
        self._lag = 0.0
        self._max_lag = 0.0
        self._watchdog = watchdog
        self._ending = False
        self.run_queue = RunQueue(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    @property
    def asyncio_loop(self) -> asyncio.AbstractEventLoop:
        """The asyncio loop behind it."""
        return self._target()

    @property
    def closed(self) -> bool:
        """Whether it will never run again."""
        return self._asyncio_loop is not None and self._asyncio_loop.is_closed()

    def is_current(self) -> bool:
        """Whether the calling thread runs this loop right now."""
        running = blocking.running_loop()
        return running is not None and running is self._asyncio_loop

    # -- from any thread ------------------------------------------------------------------------------------

    def call_soon(self, fn: Callable[[*Args], object], *args: *Args) -> None:
        """Call `fn(*args)` on the loop, in the order of the calls; a burst from other threads wakes it once.

        Raises:
            RuntimeFault: the loop is closed; nothing will be called.
            ForkedError: this loop was made before a fork.
        """
        if self._generation != forks.generation:
            self.check_fork()
        self._calls.append((fn, args))
        if not self._armed:
            self._arm()

    def run(self, coro: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop; cancelling the future cancels it."""
        future: Future[T] = Future(cancellable_by_waiter=True)
        try:
            self.call_soon(self._launch, coro, future)
        except BaseException:
            coro.close()
            raise
        return future

    def lag(self) -> float:
        """Give the seconds that the loop's timers are late, as far as it is known."""
        due = self._due
        return self._lag if due is None else max(self._lag, self.clock.monotonic() - due)

    def statistics(self) -> LoopStatistics:
        """Give what operators read."""
        lag = self.lag()
        blocked = 0 if self._watchdog is None else self._watchdog.blocked
        return LoopStatistics(
            self.name, lag, max(lag, self._max_lag), self.wakeups, len(self._tasks), blocked
        )

    # -- on the loop's own thread ---------------------------------------------------------------------------

    def call_later(self, delay: float, fn: Callable[[*Args], object], *args: *Args) -> asyncio.TimerHandle:
        """Call `fn(*args)` in `delay` seconds, unless the handle is cancelled."""
        self.check_fork()
        return self._target().call_later(delay, fn, *args)

    def create_task(self, coro: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Run a coroutine that nobody awaits: the loop keeps it alive, and a failure is logged."""
        self.check_fork()
        task = self._target().create_task(coro, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            context = {"message": f"{task.get_name()} failed", "exception": error, "task": task}
            self._target().call_exception_handler(context)

    def _launch(self, coro: Coroutine[Any, Any, T], future: Future[T]) -> None:
        if self._ending or future.cancelled():
            coro.close()
            future.try_set_exception(self._closed_error())
            return
        task = self._target().create_task(coro)
        self._tasks[task] = future
        task.add_done_callback(functools.partial(self._deliver, future))
        future.on_cancel(functools.partial(self._cancel, task))

    def _deliver(self, future: Future[Any], task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            future.cancel()
            return
        error = task.exception()
        if error is None:
            future.try_set(task.result())
        else:
            future.try_set_exception(error)

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        if not task.done():
            with contextlib.suppress(RuntimeFault):  # a closed loop has cancelled it already
                self.call_soon(task.cancel)

    def _abandon(self) -> None:
        """Fail what can't run any more, and let whoever calls from now on find the loop closed."""
        self._armed = False
        while self._calls:
            try:
                fn, args = self._calls.popleft()
            except IndexError:
                return
            if fn == self._launch:
                coro, future = args
                coro.close()
                future.try_set_exception(self._closed_error())

    def _abandon_tasks(self) -> None:
        """Fail the futures of those that would not be cancelled."""
        for future in self._tasks.values():
            if future is not None:
                future.try_set_exception(self._closed_error())

    def _closed_error(self) -> RuntimeFault:
        return RuntimeFault(f"the loop {self.name!r} is closed")

    def _arm_from_afar(self) -> None:
        try:
            if not self._ending:
                super()._arm_from_afar()
                return
        except RuntimeError as error:
            self._abandon()
            raise self._closed_error() from error
        self._abandon()
        raise self._closed_error()


class HostedLoop(Loop):
    """A loop of the caller's, who runs and closes it.

    Args:
        loop: the asyncio loop; it may run later, and on any one thread.
        name: for logs and statistics.
        clock: by default the machine's; a virtual loop's own for a virtual loop.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, name: str = "hosted", clock: Clock | None = None
    ) -> None:
        if clock is None:
            clock = loop.clock if isinstance(loop, VirtualLoop) else SystemClock()
        super().__init__(name, loop, clock)
        blocking.forbid_on(loop)
