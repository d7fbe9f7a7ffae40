"""An asyncio loop whose time jumps: simulations run as fast as they compute, the same way every time.

It has no sockets, no selector and no executor threads. When nothing is ready, time moves to the next timer;
when there is no timer either, nothing can ever happen again, and the run ends with `DeadlockError` instead of
hanging.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context
from types import TracebackType
from typing import Any, Never, Self, TypeVar, TypeVarTuple

from agentbus.errors import RuntimeFault
from agentbus.runtime.clock import VirtualClock

T = TypeVar("T")
Args = TypeVarTuple("Args")


class DeadlockError(RuntimeFault):
    """Nothing is ready, no timer is set, and what was waited for has not happened."""


class _OrderedTimer(asyncio.TimerHandle):
    """A timer with a number, so that timers of one moment have an order."""

    __slots__ = ("number",)

    number: int
    _scheduled: bool

    def enter(self, queue: list[asyncio.TimerHandle], number: int) -> None:
        """Take a place in the loop's heap of timers."""
        self.number = number
        self._scheduled = True
        heapq.heappush(queue, self)

    def __lt__(self, other: Any) -> bool:
        return (self.when(), self.number) < (other.when(), other.number)


class VirtualLoop(asyncio.BaseEventLoop):
    """A deterministic event loop on virtual time.

    Work for an executor runs inline. Exceptions that reach the loop's exception handler are kept in
    `exceptions`; leaving the loop's `with` block raises them.

    Args:
        clock: the virtual clock to move; a new one by default.
        thread_wait: real seconds to wait for a call from another thread before a deadlock is declared; 0
            where no other thread takes part.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _selector: VirtualLoop
    _stopping: bool

    def __init__(self, clock: VirtualClock | None = None, *, thread_wait: float = 0.0) -> None:
        super().__init__()
        self.clock = clock or VirtualClock()
        self.exceptions: list[BaseException] = []
        self._clock_resolution = 0.0
        self._selector = self
        self._horizon: float | None = None
        self._thread_wait = thread_wait
        self._called = threading.Event()
        self._names = itertools.count(1)
        self._timers = itertools.count()
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.is_closed():
            self.cancel_all()
            self.run_until_complete(self.shutdown_asyncgens())
            self.close()
        if error is None:
            self.raise_exceptions()

    # -- time -----------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Give virtual seconds since the beginning."""
        return self.clock.monotonic()

    def call_at(
        self,
        when: float,
        callback: Callable[[*Args], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at a virtual time; of several at one time, the first that was asked for comes first."""
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        timer = _OrderedTimer(when, callback, args, self, context)
        timer.enter(self._scheduled, next(self._timers))
        return timer

    def advance(self, seconds: float) -> None:
        """Run all that happens within the next virtual `seconds`, in order; time ends exactly there."""
        self._horizon = self.time() + seconds
        try:
            self.run_forever()
        finally:
            self._horizon = None

    def run_until_idle(self) -> None:
        """Run all that happens without time passing."""
        self.advance(0.0)

    def select(self, timeout: float | None) -> tuple[()]:
        """Stand in for the selector: let time pass instead of waiting; `asyncio` calls it once per turn."""
        if timeout is None or timeout > 0:
            self._called.clear()
            if not self._ready:  # else another thread was faster
                self._pass_time()
        self._clock_resolution = math.ulp(self.time())  # a timer is due at its time, however late that is
        return ()

    def _pass_time(self) -> None:
        due = self._scheduled[0].when() if self._scheduled else None
        if self._horizon is not None and (due is None or due > self._horizon):
            self.clock.move_to(self._horizon)
            self.stop()
        elif due is not None:
            self.clock.move_to(due)
        elif not self._called.wait(self._thread_wait):
            raise DeadlockError(f"nothing left to run, yet these wait: {self._describe_waiting()}")

    def _describe_waiting(self) -> str:
        return ", ".join(f"{task.get_name()} ({task.get_coro()!r})" for task in self.tasks()) or "no task"

    def _process_events(self, _events: tuple[()]) -> None:
        """Do nothing: there are no sockets."""

    def _write_to_self(self) -> None:
        self._called.set()

    # -- tasks and failures ---------------------------------------------------------------------------------

    def create_task(
        self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], *, name: object = None, **kwargs: Any
    ) -> asyncio.Task[T]:
        """Make a task; its default name counts from 1 on each loop, so that traces agree between runs."""
        task = super().create_task(
            coro, name=f"task-{next(self._names)}" if name is None else str(name), **kwargs
        )
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)

    def tasks(self) -> list[asyncio.Task[Any]]:
        """Give the tasks that are not done, in the order of their making."""
        return list(self._tasks)

    def cancel_all(self) -> None:
        """Cancel every task, the youngest first, and let them end."""
        for task in reversed(self.tasks()):
            task.cancel()
        self.run_until_idle()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep the failure in `exceptions`, and log it as other loops do."""
        error = context.get("exception")
        self.exceptions.append(
            error if isinstance(error, BaseException) else RuntimeFault(context.get("message"))
        )
        super().call_exception_handler(context)

    def raise_exceptions(self) -> None:
        """Raise what was kept in `exceptions`, and keep it no longer."""
        kept, self.exceptions = self.exceptions, []
        if kept:
            raise BaseExceptionGroup("failures on the virtual loop", kept)

    # -- what would leave the virtual world -----------------------------------------------------------------

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Args], T], *args: *Args
    ) -> asyncio.Future[T]:
        """Run `func` inline, whatever the executor, taking no virtual time."""
        del executor
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 -- it belongs to whoever awaits the future
            future.set_exception(error)
        return future

    async def getaddrinfo(self, *_args: Any, **_kwargs: Any) -> Never:
        """Refuse: there is no network here."""
        raise OSError("a virtual loop has no network; use the in-memory one")

    async def getnameinfo(self, *_args: Any, **_kwargs: Any) -> Never:
        """Refuse: there is no network here."""
        raise OSError("a virtual loop has no network; use the in-memory one")


async def virtual_sleep(seconds: float) -> None:
    """Sleep on a virtual loop; refuses to spend real time on any other.

    Raises:
        RuntimeFault: the running loop is not virtual.
    """
    if not isinstance(asyncio.get_running_loop(), VirtualLoop):
        raise RuntimeFault("virtual_sleep() runs on a VirtualLoop only")
    await asyncio.sleep(seconds)


def run_virtual(main: Coroutine[Any, Any, T], *, loop: VirtualLoop | None = None) -> T:
    """Run a coroutine on a virtual loop to its end, as `asyncio.run` does on a real one.

    Raises:
        DeadlockError: it waits for something that can't happen.
        BaseExceptionGroup: it ended well, but something else failed on the loop meanwhile.
    """
    with loop or VirtualLoop() as virtual:
        return virtual.run_until_complete(main)
