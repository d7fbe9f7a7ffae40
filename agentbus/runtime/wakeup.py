"""Crossing threads: one wake-up per burst, never one per call.

    any thread                                the loop
    append the call                           run calls, a bounded number per turn
    if not armed: armed = True, wake          nothing left: armed = False
                                              anything there after all? armed = True, another turn

Whichever comes second sees what the other did, so no call is left behind.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from threading import get_ident
from typing import Any, TypeVar, TypeVarTuple

from agentbus.runtime import forks
from agentbus.runtime.blocking import running_loop

T = TypeVar("T")
Args = TypeVarTuple("Args")

CALLS_PER_TURN = 256
"""After so many calls the loop looks at its sockets and timers."""


class Burst:
    """Calls on their way to one asyncio loop, in order, from any thread.

    Attributes:
        made_on_thread: the ident of the thread on which this was made.
        wakeups: how often the loop was woken for calls.
        resident: whether that thread runs this loop, and nothing else, to its end.
    """

    __slots__ = ("_armed", "_asyncio_loop", "_calls", "made_on_thread", "resident", "wakeups")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._asyncio_loop: asyncio.AbstractEventLoop | None = loop
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._armed = False
        self.made_on_thread = get_ident()
        self.wakeups = 0
        self.resident = False

    def post(self, fn: Callable[[*Args], object], *args: *Args) -> None:
        """Call `fn(*args)` on the loop, soon.

        Raises:
            RuntimeError: the loop is closed; nothing will be called.
        """
        self._calls.append((fn, args))
        if not self._armed:
            self._arm()

    def create_future(self) -> asyncio.Future[None]:
        """Make a future for a task of the loop to wait for; on the loop's thread."""
        loop = self._asyncio_loop
        return self._target().create_future() if loop is None else loop.create_future()

    def gather(self, fn: Callable[[*Args], T], *args: *Args) -> T:
        """Call `fn(*args)`, and in the same turn what that has put here: a turn costs a system call.

        On the loop's thread, and from a callback of the loop's: nothing of ours is to be on the stack.
        """
        if self._armed:
            return fn(*args)
        self._armed = True
        try:
            return fn(*args)
        finally:
            Context().run(self._run)

    def _target(self) -> asyncio.AbstractEventLoop:
        if self._asyncio_loop is None:
            raise RuntimeError("there is no loop yet")
        return self._asyncio_loop

    def _arm(self) -> None:
        loop = self._asyncio_loop
        if loop is not None and running_loop() is loop:  # it runs, so it is not closed: this can't fail
            self._armed = True
            self.wakeups += 1
            # a fresh context: what one caller has in its context variables is no other caller's business
            loop.call_soon(self._run, context=Context())
        else:
            self._arm_from_afar()

    def _arm_from_afar(self) -> None:
        try:
            self._armed = True
            self._target().call_soon_threadsafe(self._run, context=Context())
            self.wakeups += 1
        except BaseException:
            self._armed = False
            raise

    def _run(self) -> None:
        calls = self._calls
        for _ in range(CALLS_PER_TURN):
            if not calls:
                self._rest()
                return
            fn, args = calls.popleft()
            try:
                fn(*args)
            except BaseException as error:  # noqa: BLE001 -- one caller's failure is no other caller's
                self._report(fn, error)
        self._arm()

    def _rest(self) -> None:
        self._armed = False
        if self._calls:
            self._arm()

    def _report(self, fn: Callable[..., object], error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt):
            self._arm()
            raise error
        message = f"a callback failed: {getattr(fn, '__qualname__', fn)}"
        self._target().call_exception_handler({"message": message, "exception": error})


class _PerThread(threading.local):
    burst: Burst | None = None


_thread = _PerThread()


def burst_to(loop: asyncio.AbstractEventLoop) -> Burst:
    """Give the burst to a loop that runs on this thread; the last one is remembered."""
    burst = _thread.burst
    if burst is None or burst._asyncio_loop is not loop:  # pyright: ignore[reportPrivateUsage] -- same file, hot
        burst = _thread.burst = Burst(loop)
    return burst


def burst_here() -> Burst | None:
    """Give the burst to the loop that runs on this thread, None if none does.

    To ask which loop runs costs Python 3.11 a system call; a resident needs not be asked.
    """
    burst = _thread.burst
    if burst is not None and burst.resident:
        return burst
    loop = running_loop()
    return None if loop is None else burst_to(loop)


def reside(loop: asyncio.AbstractEventLoop) -> None:
    """Say that from now on this thread runs that loop and nothing else."""
    burst_to(loop).resident = True


def _enter_child() -> None:
    _thread.burst = None  # asyncio has the loop no longer run here


forks.in_child(_enter_child)
