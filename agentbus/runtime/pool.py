"""Daemon threads for work that may wait: bounded, and made when needed."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from agentbus.runtime import blocking, forks

IDLE_TIMEOUT = 10.0
"""Seconds that a thread waits for more work before it ends."""

SPARE_FACTOR = 8
"""So many times `threads` may exist, if the others wait in blocking calls of the runtime."""

_log = logging.getLogger("agentbus.runtime")


class ThreadPool(forks.ProcessBound):
    """Run work on at most `threads` threads at a time, in the order it comes.

    A thread that waits in a blocking call of the runtime (`Future.get`, `EventStream.get`) does not count:
    another takes its place, so that work that waits for other work of the pool can't starve it. All are
    daemons, so none holds up the interpreter's exit.

    Args:
        threads: how many run at a time.
        name: prefix of the threads' names.
    """

    def __init__(self, threads: int, name: str) -> None:
        if threads < 1:
            raise ValueError(f"a pool needs at least one thread, not {threads}")
        super().__init__()
        self._threads = threads
        self._name = name
        self._work: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._alive = 0
        self._idle = 0
        self._waiting = 0
        self._made = 0
        self._closed = False

    @property
    def alive(self) -> int:
        """How many threads there are."""
        return self._alive

    def submit(self, work: Callable[[], object]) -> None:
        """Run `work` soon; from any thread, never blocks. After `close` it is ignored."""
        self.check_fork()
        with self._changed:
            if self._closed:
                return
            self._work.append(work)
            self._staff()

    def close(self) -> None:
        """Let each thread end after what it is doing; what has not begun is dropped."""
        with self._changed:
            self._closed = True
            self._work.clear()
            self._changed.notify_all()

    def _staff(self) -> None:
        """See to it that somebody takes the work; the lock is held."""
        if self._idle >= len(self._work):
            self._changed.notify()
        elif self._alive - self._waiting < self._threads and self._alive < self._threads * SPARE_FACTOR:
            self._hire()

    def _hire(self) -> None:
        thread = threading.Thread(target=self._run, name=f"{self._name}-{self._made}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending, or the system has no more threads
            _log.warning("%s: no new thread; %d others go on", self._name, self._alive, exc_info=True)
            return
        self._made += 1
        self._alive += 1

    def _run(self) -> None:
        blocking.on_wait(self._on_wait)
        while True:
            work = self._next()
            if work is None:
                return
            try:
                work()
            except BaseException:  # noqa: BLE001 -- a stranger's SystemExit is not the end of the thread
                _log.exception("%s: work failed", self._name)
            del work

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(self._has_news, IDLE_TIMEOUT)
            self._idle -= 1
            if self._work:
                return self._work.popleft()
            self._alive -= 1
            return None

    def _has_news(self) -> bool:
        return bool(self._work) or self._closed

    def _on_wait(self, begins: bool) -> None:
        with self._changed:
            self._waiting += 1 if begins else -1
            if begins and self._work:
                self._staff()
