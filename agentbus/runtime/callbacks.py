"""Users' callbacks, sync and async, each in a lane of its own.

A slow listener holds up its own lane only: it occupies at most one thread, and its lane drops what its buffer
can't hold, and counts it. One that raises is logged and counted, and delays nobody.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from agentbus.runtime import forks
from agentbus.runtime.buffer import DEFAULT_CAPACITY, Buffer
from agentbus.runtime.clock import SystemClock
from agentbus.runtime.future import Future
from agentbus.runtime.lanes import Lane, LoopLane, ThreadLane
from agentbus.runtime.loop import Loop
from agentbus.runtime.mailbox import Overflow
from agentbus.runtime.pool import ThreadPool

T = TypeVar("T")


class CallbackStatistics(msgspec.Struct, frozen=True):
    """What became of callbacks.

    Attributes:
        lanes: listeners that there are now.
        waiting: events that wait for them.
        lost: events that they were too slow for.
        failures: calls that raised, since the beginning.
        threads: threads that sync callbacks have now.
    """

    lanes: int
    waiting: int
    lost: int
    failures: int
    threads: int


class Callbacks(forks.ProcessBound):
    """Makes the lanes of one runtime.

    Args:
        agents: the loop that async callbacks run on unless they name another.
        threads: how many sync callbacks run at a time, those not counted that wait in a call of the runtime.
        inline: run sync callbacks on `agents` too: for simulations, where there are no threads.
    """

    def __init__(self, agents: Loop, *, threads: int = 8, inline: bool = False) -> None:
        super().__init__()
        self._agents = agents
        self._inline = inline
        self._pool = ThreadPool(threads, "agentbus-callback")
        self._lanes: weakref.WeakSet[Lane[Any]] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._failures = 0

    def lane(
        self,
        callback: Callable[[T], object],
        *,
        loop: asyncio.AbstractEventLoop | Loop | None = None,
        capacity: int = DEFAULT_CAPACITY,
        overflow: Overflow = Overflow.DROP_OLDEST,
        lost_event: Callable[[int], T] | None = None,
    ) -> Lane[T]:
        """Make the lane of one listener; `lane.post(event)` hands over an event.

        Args:
            callback: sync or async.
            loop: where an async one runs; by default the agents' loop.
            capacity: events that wait at most.
            overflow: DROP_OLDEST or DROP_NEWEST.
            lost_event: makes the event that tells of so many lost ones; none by default.
        """
        self.check_fork()
        buffer = Buffer(capacity, overflow, lost_event)
        lane: Lane[T]
        if self._inline or is_async(callback):
            lane = LoopLane(callback, buffer, self._count_failure, self._loop_for(loop))
        else:
            lane = ThreadLane(callback, buffer, self._count_failure, self._pool, self._loop_for(loop))
        with self._lock:
            self._lanes.add(lane)
        return lane

    def statistics(self) -> CallbackStatistics:
        """Give what operators read."""
        lanes = self._all()
        waiting, lost = sum(map(len, lanes)), sum(lane.lost for lane in lanes)
        return CallbackStatistics(len(lanes), waiting, lost, self._failures, self._pool.alive)

    def drain(self) -> list[Future[None]]:
        """Give for each lane the future of the moment at which no event of it waits."""
        return [lane.drain() for lane in self._all()]

    def close(self) -> None:
        """Call back no more on threads of ours; calls that have begun go on."""
        self.check_fork()
        self._pool.close()

    def _loop_for(self, loop: asyncio.AbstractEventLoop | Loop | None) -> Loop:
        if loop is None:
            return self._agents
        return loop if isinstance(loop, Loop) else Loop("callbacks", loop, SystemClock())

    def _all(self) -> list[Lane[Any]]:
        with self._lock:
            return list(self._lanes)

    def _count_failure(self) -> None:
        with self._lock:
            self._failures += 1


def is_async(callback: Callable[..., object]) -> bool:
    """Whether calling it gives a coroutine, as far as can be seen without calling it."""
    call = getattr(type(callback), "__call__", None)  # noqa: B004 -- an object may have an async __call__
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(call)
