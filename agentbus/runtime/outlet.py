"""The producer's end of a stream: it gives a chunk when there is credit, and waits without being called upon.

Who waits is woken as with `EventStream`: it leaves a wake-up and looks again, so that no grant is slept over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from agentbus.runtime.credit import CreditSender
from agentbus.runtime.waiting import LoopWaiter, ThreadWaiter
from agentbus.runtime.wakeup import burst_to

T = TypeVar("T")
Wake = Callable[[], object]


class Outlet(Generic[T]):
    """Where one producer puts its chunks. Grants and the end may come from any thread.

    Args:
        put: takes a chunk; on the producer's thread, never waits.
        limit: credit from the beginning.
    """

    __slots__ = ("_closed", "_credit", "_forward", "_on_close", "_paused", "_put", "_waiters")

    def __init__(self, put: Callable[[T], object], limit: int = 0) -> None:
        self._put = put
        self._credit = CreditSender(limit)
        self._closed = False
        self._paused = False
        self._forward: Callable[[int], object] | None = None
        self._waiters: deque[Wake] = deque()
        self._on_close: deque[Wake] = deque()

    @property
    def closed(self) -> bool:
        """Whether nobody wants more chunks."""
        return self._closed

    @property
    def ready(self) -> bool:
        """Whether a chunk may be put now."""
        return self._credit.available > 0 and not self._paused and not self._closed

    @property
    def credit(self) -> int:
        """How many chunks may still be put, whether the way to the consumer is full or not."""
        return self._credit.available

    @property
    def begun(self) -> bool:
        """Whether a chunk was put."""
        return self._credit.sent > 0

    # -- the consumer's side ---------------------------------------------------------------------------------

    def grant(self, limit: int) -> None:
        """Let the producer go up to this number of chunks."""
        self._credit.grant(limit)
        if self._forward is not None:
            self._forward(self._credit.limit)
        self._wake()

    def forward(self, grant: Callable[[int], object]) -> None:
        """Tell of every grant, and of those before, as the producer is somewhere else; see `grant`.

        Args:
            grant: takes the number up to which it may go, on the thread that grants; a number may come twice.
        """
        self._forward = grant
        if self._credit.limit:
            grant(self._credit.limit)

    def pause(self, *, paused: bool) -> None:
        """Hold the producer up whatever its credit, or let it go on: the way to the consumer is full."""
        self._paused = paused
        if not paused:
            self._wake()

    def close(self) -> None:
        """Want no more chunks: what comes is dropped, who waits is woken; idempotent."""
        self._closed = True
        self._wake()
        while self._on_close:
            try:
                fn = self._on_close.popleft()
            except IndexError:
                return
            fn()

    def on_close(self, fn: Wake) -> None:
        """Call `fn` at the close, on the thread that closes; at once if it is closed."""
        self._on_close.append(fn)
        if self._closed:
            self.close()

    # -- the producer's side ---------------------------------------------------------------------------------

    def put(self, chunk: T) -> None:
        """Give a chunk; on the producer's thread only, after a wait that gave True."""
        if not self._closed:
            self._credit.spend()
            self._put(chunk)

    def when_ready(self, fn: Wake) -> None:
        """Call `fn` once, when a chunk may be put or nobody wants one any more; at once if it is so."""
        self._waiters.append(fn)
        if self.ready or self._closed:
            self._wake()

    def wait(self) -> bool:
        """Hold up the calling thread until a chunk may be put; False if nobody wants one any more."""
        while not self.ready:
            if self._closed:
                return False
            waiter = ThreadWaiter()
            self.when_ready(waiter)
            try:
                waiter.wait(None)
            finally:
                self._withdraw(waiter)
        return True

    async def wait_async(self) -> bool:
        """Wait until a chunk may be put; False if nobody wants one any more."""
        burst = burst_to(asyncio.get_running_loop())
        while not self.ready:
            if self._closed:
                return False
            waiter = LoopWaiter(burst)
            self.when_ready(waiter)
            try:
                await waiter.woken
            finally:
                self._withdraw(waiter)
        return True

    def _wake(self) -> None:
        while self._waiters:
            try:
                waiter = self._waiters.popleft()
            except IndexError:
                return
            waiter()

    def _withdraw(self, waiter: Wake) -> None:
        try:
            self._waiters.remove(waiter)
        except ValueError:
            return  # it was called
