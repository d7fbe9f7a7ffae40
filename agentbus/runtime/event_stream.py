"""A bounded stream of events: `for` in a thread, `async for` on any loop.

A waiting consumer is woken once per burst:

    producer                       consumer
    put the event                  leave a wake-up
    call and remove all wake-ups   look again; something there: take the wake-up back, and the event
                                   nothing there: sleep

Whichever comes second sees what the other did, so that no event is slept over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar, cast

from agentbus.errors import StreamClosedError
from agentbus.runtime import blocking, forks
from agentbus.runtime.buffer import DEFAULT_CAPACITY, Buffer
from agentbus.runtime.clock import SystemClock
from agentbus.runtime.faults import FutureTimeout
from agentbus.runtime.mailbox import Overflow
from agentbus.runtime.reading import Readable
from agentbus.runtime.waiting import LoopWaiter, ThreadWaiter
from agentbus.runtime.wakeup import burst_to

if TYPE_CHECKING:
    from agentbus.runtime.streams import EventSource

T = TypeVar("T")

_NOTHING: Final = object()
_clock = SystemClock()


class Subscription:
    """One listener's place at one or more sources."""

    __slots__ = ("_undo",)

    def __init__(self, undo: Callable[[], object]) -> None:
        self._undo: Callable[[], object] | None = undo

    def __repr__(self) -> str:
        return f"<Subscription {'cancelled' if self._undo is None else 'listening'}>"

    def cancel(self) -> None:
        """Listen no more; idempotent."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()


class _Pipe(Buffer[T]):
    """What a stream and its sources share; sources hold this and not the stream, which may be forgotten."""

    __slots__ = ("closed", "open_sources", "waiters")

    def __init__(self, capacity: int, overflow: Overflow, lost_event: Callable[[int], T] | None) -> None:
        super().__init__(capacity, overflow, lost_event)
        self.closed = False
        self.open_sources: list[object] = []
        self.waiters: deque[Callable[[], object]] = deque()

    def put(self, event: T) -> None:
        if self.closed:
            return
        events = self._events
        events.append(event)  # as `Buffer.put` does, without a call for each event
        if len(events) > self._capacity:
            self._drop_one()
        if self.waiters:
            self.wake()

    def close(self) -> None:
        self.closed = True
        self.wake()

    def end_of(self, source: object) -> None:
        self.open_sources.remove(source)
        if not self.open_sources:
            self.close()

    def wake(self) -> None:
        while self.waiters:
            try:
                waiter = self.waiters.popleft()
            except IndexError:
                return
            waiter()

    def take_or_leave(self, waiter: Callable[[], object]) -> Any:
        """Give an event, or `_NOTHING` with the waiter left behind; StreamClosedError at the end."""
        self.waiters.append(waiter)
        closed = self.closed  # before the look at the buffer: what comes before the end is not missed
        try:
            event = self.take()
        except IndexError:
            if not closed:
                return _NOTHING
            self.withdraw(waiter)
            raise StreamClosedError("the stream has ended") from None
        self.withdraw(waiter)
        return event

    def withdraw(self, waiter: Callable[[], object]) -> None:
        try:
            self.waiters.remove(waiter)
        except ValueError:
            return  # it was called


class EventStream(forks.ProcessBound, Readable, Generic[T]):
    """Events in order, for `for`, `async for`, or one at a time; ends once it is closed and empty.

    Several consumers may share one: each event goes to one of them.

    Args:
        capacity: events that wait at most.
        overflow: DROP_OLDEST or DROP_NEWEST.
        lost_event: makes the event that tells of so many lost ones, before the next; none by default.
    """

    def __init__(
        self,
        capacity: int = DEFAULT_CAPACITY,
        overflow: Overflow = Overflow.DROP_OLDEST,
        lost_event: Callable[[int], T] | None = None,
    ) -> None:
        super().__init__()
        self._subscriptions: list[Subscription] = []
        self._pipe = _Pipe(capacity, overflow, lost_event)
        self._take = self._pipe.take

    def __len__(self) -> int:
        """Count the events that wait."""
        return len(self._pipe)

    @property
    def lost(self) -> int:
        """How many events its buffer has dropped."""
        return self._pipe.lost

    @property
    def closed(self) -> bool:
        """Whether no more events will come; what waits can still be taken."""
        return self._pipe.closed

    def put(self, event: T) -> None:
        """Add an event; from any thread, never blocks. After `close` it is ignored."""
        self.check_fork()
        self._pipe.put(event)

    def close(self) -> None:
        """Listen no more, and end once what waits is taken; idempotent."""
        self.check_fork()
        for subscription in self._subscriptions:
            subscription.cancel()
        self._pipe.close()

    def __del__(self) -> None:
        for subscription in self._subscriptions:
            subscription.cancel()

    # -- threads -------------------------------------------------------------------------------------------

    def get(self, timeout: float | None = None) -> T:
        """Wait for the next event.

        Args:
            timeout: seconds to wait at most; None = for ever.

        Raises:
            FutureTimeout: time ran out; an `agentbus.FutureTimeoutError`.
            StreamClosedError: the stream has ended.
            BlockingCallError: there is no event, and this thread runs a loop of the runtime.
        """
        try:
            return self._take()
        except IndexError:
            return self._wait(timeout)

    def _wait(self, timeout: float | None) -> T:
        self.check_fork()
        deadline = None if timeout is None else _clock.monotonic() + timeout
        while True:
            waiter = ThreadWaiter()
            event = self._pipe.take_or_leave(waiter)
            if event is not _NOTHING:
                return cast("T", event)
            try:
                self._sleep(waiter, deadline)
            finally:
                self._pipe.withdraw(waiter)

    @staticmethod
    def _sleep(waiter: ThreadWaiter, deadline: float | None) -> None:
        blocking.check("waiting for an event")
        if not waiter.wait(None if deadline is None else deadline - _clock.monotonic()):
            raise FutureTimeout("no event in time")

    # -- loops ---------------------------------------------------------------------------------------------

    async def __anext__(self) -> T:
        try:
            return self._take()
        except IndexError:
            return await self._wait_async()

    async def _wait_async(self) -> T:
        self.check_fork()
        burst = burst_to(asyncio.get_running_loop())
        try:
            while True:
                waiter = LoopWaiter(burst)
                event = self._pipe.take_or_leave(waiter)
                if event is not _NOTHING:
                    return cast("T", event)
                try:
                    await waiter.woken
                finally:
                    self._pipe.withdraw(waiter)
        except StreamClosedError:
            raise StopAsyncIteration from None

    # -- sources -------------------------------------------------------------------------------------------

    def follow(self, *sources: EventSource[T]) -> Self:
        """Listen to these sources too; the stream ends once all that it listens to have."""
        pipe = self._pipe
        feeds = [(source, object()) for source in sources]
        pipe.open_sources.extend(feed for _source, feed in feeds)
        for source, feed in feeds:
            self._subscriptions.append(source.attach(pipe.put, partial(pipe.end_of, feed)))
        return self
