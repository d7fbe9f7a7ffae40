"""A process that isn't one: an event loop of its own on virtual time, which can be stopped and killed.

All processes of a simulated world share one thread and one `VirtualLoop`. Each has its own queue, timers and
tasks, so that stopping it (SIGSTOP, a laptop's lid) stops its timers too: they fire late, all at once, when
it goes on. A killed one never runs again, not even a `finally`.
"""

from __future__ import annotations

import asyncio
from asyncio.events import (
    _get_running_loop,  # pyright: ignore[reportPrivateUsage]  # no exception off a loop
    _set_running_loop,  # pyright: ignore[reportPrivateUsage]  # what a loop does around its callbacks
)
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import Context
from random import Random
from types import CoroutineType
from typing import Any, TypeVar, TypeVarTuple

from agentbus.runtime import Clock, HostedLoop, Runtime, Subscription, VirtualClock, VirtualLoop
from agentbus.runtime.runtime import Closer

T = TypeVar("T")
Args = TypeVarTuple("Args")


class _Call(asyncio.TimerHandle):
    """A call of one process, on its way; for timers with the host's timer behind it."""

    __slots__ = ("timer",)

    timer: asyncio.TimerHandle | None

    def cancel(self) -> None:
        """Call it off, and don't keep the host waiting for it."""
        super().cancel()
        if self.timer is not None:
            self.timer.cancel()

    def run(self) -> None:
        """Make the call, unless it was called off."""
        if not self.cancelled():
            self._run()

    def __str__(self) -> str:
        callback = getattr(self, "_callback", None)
        name = getattr(callback, "__qualname__", type(callback).__name__)
        return f"{name} at {self.when():.3f}"


class ProcessClock(VirtualClock):
    """The clock of a process: time passes for all alike, but each machine has its own idea of the hour.

    Args:
        host: the world's clock.
        ahead: seconds by which the wall time of this one is ahead of that.

    Attributes:
        ahead: see above.
    """

    __slots__ = ("_host", "ahead")

    def __init__(self, host: Clock, ahead: float = 0.0) -> None:
        super().__init__()
        self._host = host
        self.ahead = ahead

    def monotonic(self) -> float:
        """Give virtual seconds since the beginning of the world."""
        return self._host.monotonic()

    def wall(self) -> float:
        """Give what this machine takes for the time, in seconds since 1970."""
        return self._host.wall() + self.ahead


class ProcessLoop(VirtualLoop):
    """The event loop of one process: a virtual loop that another one runs.

    Args:
        host: runs the calls, and has the time.
        name: of the process.
        ahead: see `ProcessClock`.
    """

    clock: ProcessClock

    def __init__(self, host: VirtualLoop, name: str, ahead: float = 0.0) -> None:
        self.host = host
        self.name = name
        self.paused = False
        self.killed = False
        self._over = False
        self._calls: deque[_Call] = deque()
        self._timers_set: dict[_Call, None] = {}
        self._named = 0
        self._waited = 0
        self.clock = ProcessClock(host.clock, ahead)
        super().__init__(self.clock)  # last, for it calls the methods below

    def __repr__(self) -> str:
        return f"<ProcessLoop {self.name}>"

    # -- stop and go ---------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Run nothing from now on; what comes due waits."""
        self.paused = True

    def resume(self) -> None:
        """Go on with what has waited, in order."""
        if not self.paused:
            return
        self.paused = False
        self._waited = len(self._calls)
        for _ in self._calls:
            self.host.call_soon(self._step)

    def kill(self) -> None:
        """Run nothing any more, for good."""
        self.killed = True
        self._calls.clear()
        for timer in list(self._timers_set):
            timer.cancel()

    def end(self) -> None:
        """Be over, when nobody can notice any more: what was left half-done is closed, and new calls fail."""
        self.kill()
        with self.current():  # what a coroutine does on its way out may ask for its loop
            for task in self.tasks():
                coroutine = task.get_coro()
                if isinstance(coroutine, CoroutineType):
                    coroutine.close()
        self._over = True

    @contextmanager
    def current(self) -> Generator[None]:
        """Be the running loop meanwhile."""
        before = _get_running_loop()
        _set_running_loop(self)
        try:
            yield
        finally:
            _set_running_loop(before)

    def perform(self, fn: Callable[[*Args], object], *args: *Args) -> None:
        """Call `fn(*args)` in this process: at once if it runs, else after all that has waited."""
        if self.killed:
            return
        if self.paused or self._waited:
            self.call_soon(fn, *args)
            return
        with self.current():
            fn(*args)

    def advance(self, seconds: float) -> None:
        """Let time pass for all processes."""
        self.host.advance(seconds)

    def leftovers(self) -> list[str]:
        """Name what has not ended: timers and tasks."""
        return [f"timer {timer}" for timer in self._timers_set] + [
            f"task {task.get_name()}" for task in self.tasks()
        ]

    # -- what asyncio asks of a loop -----------------------------------------------------------------------

    def time(self) -> float:
        """Give virtual seconds since the beginning."""
        return self.host.time()

    def is_running(self) -> bool:
        """Whether anything runs at all."""
        return self.host.is_running()

    def is_closed(self) -> bool:
        """Whether the process is dead, or its world over."""
        return self.killed or self.host.is_closed()

    def call_soon(
        self, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.Handle:
        """Call back in a later turn, in order."""
        if self._over:
            raise RuntimeError("Event loop is closed")
        call = self._call(self.time(), callback, args, context)
        if not self.killed:
            self._calls.append(call)
            self.host.call_soon(self._step)
        return call

    def call_soon_threadsafe(
        self, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.Handle:
        """Do as `call_soon`: there is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Args], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at a virtual time, or as soon afterwards as the process runs."""
        call = self._call(when, callback, args, context)
        if not self.killed:
            self._timers_set[call] = None
            call.timer = self.host.call_at(when, self._due, call)
        return call

    def create_task(
        self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], *, name: object = None, **kwargs: Any
    ) -> asyncio.Task[T]:
        """Make a task; its default name counts from 1 in each process, so that traces agree between runs."""
        self._named += 1
        return super().create_task(coro, name=name or f"{self.name}-{self._named}", **kwargs)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Pass a failure on to the host; the dead don't complain."""
        if not self.killed:
            self.host.call_exception_handler(context)

    # -- turns ---------------------------------------------------------------------------------------------

    def _call(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> _Call:
        call = _Call(when, callback, args, self, context)
        call.timer = None
        return call

    def _due(self, call: _Call) -> None:
        self._timers_set.pop(call, None)
        self._calls.append(call)
        self._step()

    def _step(self) -> None:
        """Make the oldest call. There is one step per call, so that the order of calls survives a pause."""
        if self.paused or not self._calls:
            return
        self._waited = max(0, self._waited - 1)
        before = _get_running_loop()
        _set_running_loop(self)
        try:
            self._calls.popleft().run()
        finally:
            _set_running_loop(before)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if isinstance(handle, _Call):
            self._timers_set.pop(handle, None)


class ProcessRuntime(Runtime):
    """A runtime that ends with its process, and not when the interpreter exits."""

    def on_close(self, closer: Closer) -> Subscription:
        """Note nothing: nobody ends a simulated process in good order but its program."""
        del closer
        return Subscription(lambda: None)

    def close(self, timeout: float = 5.0) -> bool:
        """Do nothing."""
        del timeout
        return True


class Process:
    """One process of a simulated world: a loop, and a runtime whose chance comes from the seed.

    Args:
        host: runs it.
        name: as traces show it.
        seed: of all its chance and ids.
        ahead: seconds by which its wall clock is ahead of the world's.
    """

    def __init__(self, host: VirtualLoop, name: str, seed: str, ahead: float = 0.0) -> None:
        self.name = name
        self.loop = ProcessLoop(host, name, ahead)
        self.home = HostedLoop(self.loop, name=name)
        self.random = Random(seed)
        self.runtime = ProcessRuntime(loop=self.home, random=self.random, inline_callbacks=True)

    def __repr__(self) -> str:
        return f"<Process {self.name}>"

    def leftovers(self) -> list[str]:
        """Name what has not ended: actors, timers, tasks."""
        actors = [f"actor {ref}" for ref in self.runtime.registry.get_all()]
        return [f"{self.name}: {what}" for what in actors + self.loop.leftovers()]

    def end(self) -> None:
        """Be over: whatever is left was looked at."""
        self.loop.end()
