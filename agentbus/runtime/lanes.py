"""The events of one listener on their way to it: one at a time, in order, bounded.

A lane has one turn at a time, on whatever thread, because it has one lock:

    producer                              turn
    put the event                         take and call until nothing is left
    got the lock? arrange for a turn      give the lock back
                                          anything there after all, and got the lock again? go on

Whichever comes second sees what the other did, so no event is left behind; and of a turn that goes on and a
producer that begins one, only one gets the lock.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from agentbus.errors import AgentBusError
from agentbus.runtime.buffer import Buffer
from agentbus.runtime.future import Future
from agentbus.runtime.loop import Loop
from agentbus.runtime.pool import ThreadPool

T = TypeVar("T")

EVENTS_PER_TURN = 16
"""After so many events a lane lets others have its thread or its loop."""

_log = logging.getLogger("agentbus.runtime")


class Lane(Generic[T]):
    """The way to one listener.

    Args:
        callback: gets each event.
        buffer: holds what the callback has not come to yet.
        on_failure: called after each call that raised.
    """

    def __init__(
        self, callback: Callable[[T], object], buffer: Buffer[T], on_failure: Callable[[], object]
    ) -> None:
        self._callback = callback
        self._buffer = buffer
        self._on_failure = on_failure
        self._has_turn = threading.Lock()  # never waited for
        self._closed = False
        self._drained: deque[Future[None]] = deque()

    def __len__(self) -> int:
        """Count the events that wait."""
        return len(self._buffer)

    @property
    def lost(self) -> int:
        """How many events were dropped because the callback was slower than they came."""
        return self._buffer.lost

    def post(self, event: T) -> None:
        """Hand over an event; from any thread, never blocks. After `close` it is ignored."""
        if self._closed:
            return
        self._buffer.put(event)
        if self._has_turn.acquire(blocking=False):
            self._go_on()

    def drain(self) -> Future[None]:
        """Give the future of the moment at which no event waits."""
        future: Future[None] = Future()
        self._drained.append(future)
        if not self._has_turn.locked():
            self._say_drained()
        return future

    def close(self) -> None:
        """Call back no more; a call that has begun goes on. Idempotent."""
        self._closed = True
        self._buffer.clear()

    @abstractmethod
    def _go_on(self) -> None:
        """Arrange for the lane's next turn."""

    def _rest(self) -> bool:
        """End the turn; False if an event has come meanwhile, and this turn is to take it."""
        self._has_turn.release()
        if len(self._buffer):
            return not self._has_turn.acquire(blocking=False)
        self._say_drained()
        return True

    def _say_drained(self) -> None:
        while self._drained:
            try:
                self._drained.popleft().try_set(None)
            except IndexError:
                return

    def _failed(self) -> None:
        self._on_failure()
        _log.exception("a callback failed: %s", name_of(self._callback))


class ThreadLane(Lane[T]):
    """Calls back on a thread of a pool.

    Args:
        loop: where a coroutine runs that the callback returns although it did not look like one that does.
    """

    def __init__(
        self,
        callback: Callable[[T], object],
        buffer: Buffer[T],
        on_failure: Callable[[], object],
        pool: ThreadPool,
        loop: Loop,
    ) -> None:
        super().__init__(callback, buffer, on_failure)
        self._pool = pool
        self._loop = loop

    def _go_on(self) -> None:
        self._pool.submit(self._turn)

    def _turn(self) -> None:
        for _ in range(EVENTS_PER_TURN):
            try:
                event = self._buffer.take()
            except IndexError:
                if self._rest():
                    return
            else:
                self._call(event)
        self._go_on()

    def _call(self, event: T) -> None:
        try:
            result = self._callback(event)
            if inspect.isawaitable(result):
                self._loop.run(_result_of(result)).get()
        except BaseException:  # noqa: BLE001 -- logged; a callback's SystemExit is nobody else's
            self._failed()


class LoopLane(Lane[T]):
    """Calls back on a loop, sync callbacks too: one task per burst of events.

    Args:
        loop: the loop.
    """

    def __init__(
        self, callback: Callable[[T], object], buffer: Buffer[T], on_failure: Callable[[], object], loop: Loop
    ) -> None:
        super().__init__(callback, buffer, on_failure)
        self._loop = loop

    def _go_on(self) -> None:
        try:
            self._loop.call_soon(self._spawn)
        except AgentBusError:  # its loop is closed and will never call back again
            self.close()
            self._rest()

    def _spawn(self) -> None:
        self._loop.create_task(self._turn(), name=f"callback {name_of(self._callback)}")

    def drain(self) -> Future[None]:
        """Give the future of the moment at which no event waits; on a closed loop none does."""
        future = super().drain()
        if self._loop.closed:
            self.close()
            self._say_drained()
        return future

    async def _turn(self) -> None:
        try:
            while not await self._some():  # noqa: ASYNC110 -- waits for nothing, lets others have the loop
                await asyncio.sleep(0)
        except asyncio.CancelledError:  # the loop ends; if it does not, the next event begins another turn
            self._has_turn.release()
            self._say_drained()
            raise

    async def _some(self) -> bool:
        for _ in range(EVENTS_PER_TURN):
            try:
                event = self._buffer.take()
            except IndexError:
                if self._rest():
                    return True
            else:
                await self._call(event)
        return False

    async def _call(self, event: T) -> None:
        try:
            result = self._callback(event)
            if inspect.isawaitable(result):
                await result
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._failed()
        except (Exception, SystemExit):  # noqa: BLE001 -- logged; nobody else's
            self._failed()


async def _result_of(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def name_of(callback: object) -> str:
    """Give a callback's name for logs; its arguments and its object may hold secrets, so no repr."""
    return getattr(callback, "__qualname__", type(callback).__qualname__)
