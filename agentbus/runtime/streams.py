"""Where events come from: each listener gets them in a way that suits it, and none holds up who emits them.

Callbacks get them in lanes of their own, threads and tasks in a bounded `EventStream`. Each listener learns
how many events it was too slow for.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from agentbus.runtime import forks
from agentbus.runtime.buffer import DEFAULT_CAPACITY
from agentbus.runtime.event_stream import EventStream, Subscription
from agentbus.runtime.mailbox import Overflow

if TYPE_CHECKING:
    from agentbus.runtime.callbacks import Callbacks

__all__ = ["EventSource", "EventStream", "Subscription"]

T = TypeVar("T")

_log = logging.getLogger("agentbus.runtime")


class EventSource(forks.ProcessBound, Generic[T]):
    """Where events of one kind come from.

    Args:
        callbacks: runs the subscribed callbacks, each in a lane of its own; without it they run on the thread
            that emits, so they must not wait.
    """

    def __init__(self, callbacks: Callbacks | None = None) -> None:
        super().__init__()
        self._callbacks = callbacks
        self._lock = threading.RLock()
        self._listeners: tuple[tuple[Callable[[T], object], Callable[[], object]], ...] = ()
        self._closed = False
        self._failures = 0

    @property
    def failures(self) -> int:
        """How many calls of listeners raised on the thread that emitted."""
        return self._failures

    @property
    def listened_to(self) -> bool:
        """Whether anybody would notice an event; for those whose making costs."""
        return bool(self._listeners)

    def emit(self, event: T) -> None:
        """Give an event to all who listen; from any thread, never blocks. After `close` it is ignored."""
        if self._generation != forks.generation:
            self.check_fork()
        for put, _end in self._listeners:
            try:
                put(event)
            except (Exception, SystemExit, asyncio.CancelledError):  # noqa: BLE001 -- logged; nobody else's
                self._failures += 1
                _log.exception("a listener failed: %r", put)

    def subscribe(
        self, callback: Callable[[T], object], *, loop: asyncio.AbstractEventLoop | None = None
    ) -> Subscription:
        """Call `callback(event)` for each event from now on, one at a time and in order.

        Args:
            callback: sync or async.
            loop: where an async one runs; by default the agents' loop.
        """
        if self._callbacks is None:
            return self.attach(callback)
        lane = self._callbacks.lane(callback, loop=loop)
        attached = self.attach(lane.post)

        def undo() -> None:
            attached.cancel()
            lane.close()

        return Subscription(undo)

    def listen(
        self,
        capacity: int = DEFAULT_CAPACITY,
        overflow: Overflow = Overflow.DROP_OLDEST,
        lost_event: Callable[[int], T] | None = None,
    ) -> EventStream[T]:
        """Give a stream of the events from now on; see `EventStream`."""
        return EventStream(capacity, overflow, lost_event).follow(self)

    def attach(self, put: Callable[[T], object], end: Callable[[], object] = lambda: None) -> Subscription:
        """Call `put(event)` on the thread that emits, which it must not hold up, and `end()` at `close`."""
        self.check_fork()
        listener = (put, end)
        with self._lock:
            closed = self._closed
            if not closed:
                self._listeners = (*self._listeners, listener)
        if closed:
            end()
        return Subscription(lambda: self._detach(listener))

    def _detach(self, listener: object) -> None:
        if self.forked:  # a thread of the parent's may hold the lock for ever
            return
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

    def close(self) -> None:
        """End every stream that listens here, once it is empty; idempotent."""
        self.check_fork()
        with self._lock:
            self._closed = True
            listeners, self._listeners = self._listeners, ()
        for _put, end in listeners:
            end()
