"""Mailboxes: many threads put, one consumer takes; a control lane overtakes.

The unbounded mailbox has no lock. Its protocol with the consumer needs only that a deque's `append` and
`popleft` are atomic:

    producer                          consumer
    append the item                   take until nothing is left
    if idle: idle = False, wake()     idle = True
                                      anything there after all? idle = False, go on taking

Whichever comes second sees what the other did, so no item is left behind, and a burst wakes the consumer
once. Two producers may both find it idle; a second wake-up finds nothing and is harmless. One deque for all
threads also means one order: whatever was put first is taken first.
"""

from __future__ import annotations

import enum
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agentbus.errors import MailboxFullError
from agentbus.runtime.blocking import running_loop
from agentbus.runtime.cell_control import Switch
from agentbus.runtime.envelope import Stop

Refusal = Callable[[], Exception]
_FIRST_CONTROL = threading.Lock()


class Overflow(enum.Enum):
    """What a full mailbox does with one more message."""

    BLOCK = "block"
    """The sender's thread waits for room. A thread that runs an event loop, or that empties this very
    mailbox, must not wait: there it is *reject*."""
    REJECT = "reject"
    """The sender gets `MailboxFullError`."""
    DROP_OLDEST = "drop_oldest"
    """The message at the head is dead-lettered; its asker gets `MessageDroppedError`."""
    DROP_NEWEST = "drop_newest"
    """The new message is dead-lettered; its asker gets `MessageDroppedError`."""


@dataclass(frozen=True, slots=True)
class MailboxOptions:
    """How much a mailbox holds, and what happens beyond.

    Attributes:
        capacity: messages; None = unbounded. Stop requests and the control lane do not count.
        overflow: what a full mailbox does.
        block_timeout: seconds that BLOCK waits before it raises `MailboxFullError`; None = for ever.
    """

    capacity: int | None = None
    overflow: Overflow = Overflow.BLOCK
    block_timeout: float | None = None

    def __post_init__(self) -> None:
        """Refuse what can't work."""
        if self.capacity is not None and self.capacity < 1:
            raise ValueError(f"a mailbox holds at least one message, not {self.capacity}")
        if self.block_timeout is not None and self.block_timeout < 0:
            raise ValueError("block_timeout is a number of seconds, or None")


class Mailbox:
    """An unbounded mailbox.

    Args:
        wake: called by a producer when the consumer has to look; from any thread.
        awake: whether the consumer is about to look anyway.
    """

    __slots__ = (
        "_ended",
        "_idle",
        "_refusal",
        "_stopping",
        "_wake",
        "control",
        "items",
        "paused",
        "refuses",
        "take",
    )

    def __init__(self, wake: Callable[[], object], *, awake: bool = True) -> None:
        self.items: deque[Any] = deque()
        """What waits, to be asked for its truth or length only."""
        self.take: Callable[[], Any] = self.items.popleft
        """Removes the item at the head and gives it; IndexError if there is none."""
        self._idle = not awake
        self._wake = wake
        self._refusal: Refusal | None = None
        self.refuses = False
        """Whether nothing is taken any more."""
        self._ended = False
        self._stopping = False
        self.paused = False
        """Whether the consumer takes nothing but from the control lane; see `pause`."""
        self.control: deque[Any] | tuple[()] = ()

    def __len__(self) -> int:
        """Count the messages that wait, the control lane not included."""
        return len(self.items)

    # -- producers, any thread ------------------------------------------------------------------------------

    def put(self, item: Any) -> None:
        """Add an item at the end.

        Raises:
            Exception: what `refuse` was given, if the mailbox takes nothing any more.
            MailboxFullError: there is no room, and the policy is to say so.
        """
        if self._refusal is not None:
            raise self._refusal()
        self.items.append(item)
        if self._idle:
            self._idle = False
            self._wake()

    def put_now(self, item: Any) -> None:
        """Add an item like `put`, but never wait for room: there it is *reject*."""
        self.put(item)

    def put_stop(self, stop: Stop) -> None:
        """Add a stop request at the end, whatever the capacity; raises like `put` if nothing is taken.

        It ends a pause: what waits before it could not be handled otherwise.
        """
        self._stopping = True
        Mailbox.put(self, stop)
        if self.paused:
            self.put_control(Switch(paused=False))

    def put_control(self, item: Any) -> bool:
        """Add an item to the control lane, which overtakes; False after `bury`."""
        if self._ended:
            return False
        control = self.control
        if isinstance(control, tuple):
            control = self._control_lane()
        control.append(item)
        self._idle = False
        self._wake()
        return True

    def _control_lane(self) -> deque[Any]:
        with _FIRST_CONTROL:
            if isinstance(self.control, tuple):
                self.control = deque()
            return self.control

    def when_room(self, callback: Callable[[], object]) -> bool:
        """Call back once there is room, or nothing is taken any more; False, and no call, if that is now.

        The call comes from the thread that made the room, which must not be held up.
        """
        del callback
        return False

    # -- the consumer ---------------------------------------------------------------------------------------

    def take_control(self) -> Any:
        """Remove the first item of the control lane; IndexError if there is none."""
        if isinstance(self.control, tuple):
            raise IndexError("the control lane is empty")
        return self.control.popleft()

    def put_back_control(self, item: Any) -> None:
        """Return an item to the head of the control lane."""
        if isinstance(self.control, deque):
            self.control.appendleft(item)

    def pause(self, *, paused: bool) -> bool:
        """Note whether the consumer pauses; whether it now does as wished. Not while a stop waits."""
        self.paused = paused
        if self._stopping:  # `put_stop` may have looked before
            self.paused = False
        return self.paused is paused

    def put_back(self, item: Any) -> None:
        """Return an item to the head, whatever the capacity."""
        self.items.appendleft(item)

    def rest(self) -> bool:
        """Stop looking; False means that something has come, so look again."""
        self._idle = True
        if self.items or self.control:
            self._idle = False
            return False
        return True

    # -- the end --------------------------------------------------------------------------------------------

    def refuse(self, refusal: Refusal) -> None:
        """Take no more messages: each `put` raises what `refusal()` gives. The control lane stays open."""
        self._refusal = refusal
        self.refuses = True

    def bury(self, bury: Callable[[Any], object]) -> None:
        """Give every item that is left, or still slips in, to `bury`; call `refuse` first."""
        self._ended = True
        self._wake = lambda: self._bury(bury)
        self._bury(bury)

    def _bury(self, bury: Callable[[Any], object]) -> None:
        while not self.rest():
            try:
                item = self.take_control() if self.control else self.take()
            except IndexError:
                continue  # another thread buried it
            bury(item)


class BoundedMailbox(Mailbox):
    """A mailbox with a capacity.

    Args:
        options: capacity, and what happens beyond it.
        wake: see `Mailbox`.
        on_drop: gets each item that the policy drops, on the thread that caused it.
        consumer_is_here: whether the calling thread is the one that empties this mailbox.
        awake: see `Mailbox`.
    """

    __slots__ = (
        "_blocked",
        "_callbacks",
        "_capacity",
        "_consumer_is_here",
        "_lock",
        "_on_drop",
        "_options",
        "_room",
    )

    def __init__(
        self,
        options: MailboxOptions,
        wake: Callable[[], object],
        on_drop: Callable[[Any], object],
        *,
        consumer_is_here: Callable[[], bool] = lambda: False,
        awake: bool = True,
    ) -> None:
        if options.capacity is None:
            raise ValueError("a bounded mailbox needs a capacity")
        super().__init__(wake, awake=awake)
        self._options = options
        self._capacity = options.capacity
        self._on_drop = on_drop
        self._consumer_is_here = consumer_is_here
        # taken by itself where nobody waits: a condition costs three calls more
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._blocked = 0
        self._callbacks: list[Callable[[], object]] = []
        self.take = self._take

    def put(self, item: Any) -> None:
        """Add an item at the end, or do what the policy says."""
        if self._refusal is not None:
            raise self._refusal()
        with self._lock:
            if len(self.items) < self._capacity:
                dropped: Any = None
                self.items.append(item)
            else:
                dropped = self._admit(item)
        if dropped is not item and self._idle:
            self._idle = False
            self._wake()
        if dropped is not None:
            self._on_drop(dropped)

    def put_now(self, item: Any) -> None:
        """Add an item like `put`, but never wait for room: there it is *reject*."""
        if self._refusal is not None:
            raise self._refusal()
        with self._lock:
            dropped = self._admit(item, may_wait=False)
        if dropped is not item and self._idle:
            self._idle = False
            self._wake()
        if dropped is not None:
            self._on_drop(dropped)

    def _admit(self, item: Any, *, may_wait: bool = True) -> Any:
        """Append `item`; give what was dropped for it: None, an older item, or itself."""
        dropped = None
        if len(self.items) >= self._capacity:
            overflow = self._options.overflow
            if overflow is Overflow.DROP_NEWEST:
                return item
            if overflow is Overflow.DROP_OLDEST:
                dropped = self._evict()
            else:
                self._wait_for_room(may_wait=may_wait and overflow is Overflow.BLOCK)
        self.items.append(item)
        return dropped

    def _evict(self) -> Any:
        for index, item in enumerate(self.items):
            if not isinstance(item, Stop):
                del self.items[index]
                return item
        return None

    def _wait_for_room(self, *, may_wait: bool) -> None:
        if not may_wait or running_loop() is not None or self._consumer_is_here():
            raise MailboxFullError(self._capacity)
        self._blocked += 1
        try:
            woken = self._room.wait_for(self._has_room_or_refuses, self._options.block_timeout)
        finally:
            self._blocked -= 1
        if not woken:
            raise MailboxFullError(self._capacity)
        if self._refusal is not None:
            raise self._refusal()

    def _has_room_or_refuses(self) -> bool:
        return len(self.items) < self._capacity or self._refusal is not None

    def when_room(self, callback: Callable[[], object]) -> bool:
        """Call back once there is room; see `Mailbox`."""
        with self._room:
            if self._has_room_or_refuses():
                return False
            self._callbacks.append(callback)
        return True

    def _take(self) -> Any:
        """Let one blocked sender in, and tell those who wait elsewhere."""
        with self._lock:
            item = self.items.popleft()
            if self._blocked:
                self._room.notify()
        if self._callbacks:
            self._call_back()
        return item

    def _call_back(self) -> None:
        with self._room:
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def refuse(self, refusal: Refusal) -> None:
        """Take nothing from now on; blocked senders get the refusal."""
        super().refuse(refusal)
        with self._room:
            self._room.notify_all()
        self._call_back()


def make_mailbox(
    options: MailboxOptions,
    wake: Callable[[], object],
    on_drop: Callable[[Any], object],
    *,
    consumer_is_here: Callable[[], bool] = lambda: False,
) -> Mailbox:
    """Make the mailbox that the options ask for."""
    if options.capacity is None:
        return Mailbox(wake)
    return BoundedMailbox(options, wake, on_drop, consumer_is_here=consumer_is_here)
