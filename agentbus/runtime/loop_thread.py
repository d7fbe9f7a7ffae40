"""A loop in a daemon thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import logging
import socket
import threading
import weakref
from collections.abc import Callable

from agentbus.runtime import blocking, forks
from agentbus.runtime.clock import Clock, SystemClock
from agentbus.runtime.loop import Loop
from agentbus.runtime.wakeup import CALLS_PER_TURN, reside
from agentbus.runtime.watchdog import Watchdog

LAG_INTERVAL = 0.5
"""Seconds between two looks at how late the loop's timers are."""

CANCEL_GRACE = 1.0
"""Seconds that cancelled tasks get to end when the loop closes."""

_log = logging.getLogger("agentbus.runtime")
_live: weakref.WeakSet[LoopThread] = weakref.WeakSet()


def _enter_child() -> None:
    inherited = list(_live)
    for loop in inherited:
        forks.keep(loop)
    if any(loop.runs_uvloop for loop in inherited):
        atexit.register(_renew_uv_threads)


def _renew_uv_threads() -> None:
    """Let libuv make its name resolving threads anew, in a child that is about to exit.

    At the end of a process libuv joins them; those of the parent, which the child does not have, would crash
    it (libuv issue 4443). Asking for a name that needs no look-up is enough.
    """
    loop = _new_loop(uvloop=True)
    loop.run_until_complete(loop.getnameinfo(("127.0.0.1", 0), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV))
    loop.close()


forks.in_child(_enter_child)


class LoopThread(Loop):
    """A loop whose daemon thread starts with the first call that needs it.

    Args:
        name: of the thread, for logs and statistics.
        clock: the machine's by default.
        uvloop: whether to run on uvloop where it is installed.
        watchdog: reports handlers that block the loop; none by default.
    """

    def __init__(
        self,
        name: str = "agentbus",
        *,
        clock: Clock | None = None,
        uvloop: bool = True,
        watchdog: Watchdog | None = None,
    ) -> None:
        super().__init__(name, None, clock or SystemClock(), watchdog)
        self._uvloop = uvloop
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False
        _live.add(self)

    @property
    def thread(self) -> threading.Thread | None:
        """The loop's thread; None before it was needed."""
        return self._thread

    @property
    def runs_uvloop(self) -> bool:
        """Whether the thread was started, and runs on uvloop."""
        return type(self._asyncio_loop).__module__ == "uvloop"

    def close(self, timeout: float = 5.0) -> bool:
        """Cancel what runs on the loop and end its thread; idempotent.

        Args:
            timeout: seconds to wait for that.

        Returns:
            Whether the thread has ended, or never started. False on the loop's own thread, which ends later.
        """
        self.check_fork()
        with self._starting:
            self._closing = True
        if self._thread is None:
            return True
        with contextlib.suppress(RuntimeError):  # it was closed before
            self._target().call_soon_threadsafe(self._target().stop)
        if not self.is_current():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _target(self) -> asyncio.AbstractEventLoop:
        return self._asyncio_loop or self._start()

    def _start(self) -> asyncio.AbstractEventLoop:
        self.check_fork()
        with self._starting:
            if self._closing:
                raise RuntimeError("closed before it was started")
            if self._asyncio_loop is None:
                self._asyncio_loop = self._start_thread(_new_loop(uvloop=self._uvloop))
            return self._asyncio_loop

    def _start_thread(self, loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
        blocking.forbid_on(loop)
        started = threading.Event()
        loop.call_soon(started.set)
        loop.call_soon(self._look_at_lag, loop)
        thread = threading.Thread(target=self._main, args=(loop,), name=self.name, daemon=True)
        try:
            thread.start()
        except BaseException:
            loop.close()
            raise
        self._thread = thread
        started.wait()
        return loop

    # -- on the thread -------------------------------------------------------------------------------------

    def _main(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._watchdog is not None:
            self._watchdog.watch(loop, self.name)
        reside(loop)
        self._run_until_closed(loop)
        self._close_loop(loop)

    def _run_until_closed(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._closing:
            try:
                loop.run_forever()
            except BaseException:  # noqa: BLE001 -- SystemExit of one task is not the end of all others
                _log.exception("something on the loop %r tried to end its thread", self.name)

    def _close_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = None
        if self._watchdog is not None:
            self._watchdog.stop()
        try:
            self._run_rest()
            loop.run_until_complete(_cancel_all(loop))
            loop.run_until_complete(loop.shutdown_asyncgens())
        except BaseException:  # noqa: BLE001 -- whatever ends the thread, the loop gets closed
            _log.exception("the loop %r did not end cleanly", self.name)
        finally:
            loop.close()
            self._abandon()
            self._abandon_tasks()

    def _run_rest(self) -> None:
        """Run what was called before the end; from now on only the loop's own thread may call."""
        for _ in range(len(self._calls) // CALLS_PER_TURN + 1):
            self._run()
        self._ending = True

    def _look_at_lag(self, loop: asyncio.AbstractEventLoop) -> None:
        now = self.clock.monotonic()
        if self._due is not None:
            self._lag = max(0.0, now - self._due)
            self._max_lag = max(self._max_lag, self._lag)
        self._due = now + LAG_INTERVAL
        loop.call_later(LAG_INTERVAL, self._look_at_lag, loop)


async def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CANCEL_GRACE)


def _new_loop(*, uvloop: bool) -> asyncio.AbstractEventLoop:
    if uvloop:
        try:
            new_loop: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(
                "uvloop"
            ).new_event_loop
        except ImportError:
            return asyncio.new_event_loop()
        return new_loop()
    return asyncio.new_event_loop()
