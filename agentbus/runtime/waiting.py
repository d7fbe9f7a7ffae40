"""What a waiter leaves with the one it waits for: a callable that wakes it, once, from any thread."""

from __future__ import annotations

import asyncio
import threading
from threading import get_ident

from agentbus.runtime import blocking
from agentbus.runtime.wakeup import Burst


class ThreadWaiter:
    """Wakes a thread."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def __call__(self, _source: object = None) -> None:
        """Wake the thread; at most once."""
        self._lock.release()

    def wait(self, timeout: float | None) -> bool:
        """Wait for the call, at most `timeout` seconds (None = for ever); whether it came."""
        observer = blocking.observer()
        if observer is None:
            return self._acquire(timeout)
        observer(True)  # noqa: FBT003 -- the one argument says which end of the wait this is
        try:
            return self._acquire(timeout)
        finally:
            observer(False)  # noqa: FBT003 -- likewise

    def _acquire(self, timeout: float | None) -> bool:
        if timeout is None:
            return self._lock.acquire()
        return self._lock.acquire(timeout=min(max(timeout, 0.0), threading.TIMEOUT_MAX))


class LoopWaiter:
    """Wakes a task of the loop that runs on the thread which makes this; a loop stays on its thread.

    Args:
        burst: see `burst_here`.
    """

    __slots__ = ("_burst", "woken")

    def __init__(self, burst: Burst) -> None:
        self._burst = burst
        self.woken: asyncio.Future[None] = burst.create_future()

    def __call__(self, _source: object = None) -> None:
        """Wake the task; from any thread, also when its loop is closed."""
        burst = self._burst
        try:
            if get_ident() != burst.made_on_thread:
                burst.post(self._wake)
            elif not self.woken.done():
                self.woken.set_result(None)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)
