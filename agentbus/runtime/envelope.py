"""What lies in a mailbox: a bare message for a tell, an `Ask` for an ask, a `Stop` for the end of the queue.

A tell needs no envelope: its message is the item. That saves one object per message on the hottest path.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agentbus.runtime.future import Future


class Ask(msgspec.Struct, eq=False):
    """A message whose sender waits for the reply.

    Attributes:
        message: what was sent.
        future: of the reply.
    """

    message: Any
    future: Future[Any]


class Stop:
    """The wish to end, at its place in the mailbox or, on the control lane, at once.

    Attributes:
        future: resolved with True once the actor has ended; None = nobody waits.
    """

    __slots__ = ("future",)

    def __init__(self, future: Future[bool] | None) -> None:
        self.future = future


class Watch:
    """The wish to know of the end; on the control lane.

    Attributes:
        future: resolved with `value` once the actor has ended.
        value: what it is resolved with.
    """

    __slots__ = ("future", "value")

    def __init__(self, future: Future[bool], value: bool) -> None:
        self.future = future
        self.value = value


class Again:
    """An item whose handling has failed, back at the head of the mailbox for another try."""

    __slots__ = ("attempts", "item")

    def __init__(self, item: Any, attempts: int) -> None:
        self.item = item
        self.attempts = attempts
