"""A bounded buffer between many producers and their consumers, that counts what it drops."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from agentbus.runtime.mailbox import Overflow

T = TypeVar("T")

DEFAULT_CAPACITY = 1024


class Buffer(Generic[T]):
    """Events on their way to a consumer; never blocks, from any thread.

    An event goes in first and the surplus comes out after, each by one atomic step, so that no event is
    counted twice or not at all: what was put = what was taken + what waits + what was lost.

    Args:
        capacity: events that it holds.
        overflow: DROP_OLDEST or DROP_NEWEST; who emits an event neither waits nor fails.
        lost_event: makes the event that tells the consumer of so many lost ones, before it gets the next.
    """

    __slots__ = ("_capacity", "_counting", "_drop", "_events", "_lost", "_lost_event", "_told")

    def __init__(
        self,
        capacity: int = DEFAULT_CAPACITY,
        overflow: Overflow = Overflow.DROP_OLDEST,
        lost_event: Callable[[int], T] | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"a buffer holds at least one event, not {capacity}")
        if overflow not in {Overflow.DROP_OLDEST, Overflow.DROP_NEWEST}:
            raise ValueError(
                f"a buffer of events drops the oldest or the newest; {overflow.name} would hold up others"
            )
        self._events: deque[T] = deque()
        self._capacity = capacity
        self._drop = self._events.popleft if overflow is Overflow.DROP_OLDEST else self._events.pop
        self._lost_event = lost_event
        self._lost = 0
        self._told = 0
        self._counting = threading.RLock()

    def __len__(self) -> int:
        """Count the events that wait."""
        return len(self._events)

    @property
    def lost(self) -> int:
        """How many events were dropped so far."""
        return self._lost

    def put(self, event: T) -> None:
        """Add an event, and drop one if that is one too many."""
        self._events.append(event)
        if len(self._events) > self._capacity:
            self._drop_one()

    def take(self) -> T:
        """Remove the oldest event.

        Raises:
            IndexError: there is none.
        """
        if self._lost != self._told and self._lost_event is not None:
            count = self._untold()
            if count:
                return self._lost_event(count)
        return self._events.popleft()

    def clear(self) -> None:
        """Forget every event that waits, for a consumer that wants none of them; they don't count as lost."""
        self._events.clear()

    def _drop_one(self) -> None:
        try:
            self._drop()
        except IndexError:
            return  # a consumer was faster
        with self._counting:
            self._lost += 1

    def _untold(self) -> int:
        with self._counting:
            count = self._lost - self._told
            self._told = self._lost
        return count
