"""How actors begin and end, as seen by those who start them."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from agentbus.runtime.loop import Loop
from agentbus.runtime.mailbox import MailboxOptions
from agentbus.runtime.ref import LoopActorRef

if TYPE_CHECKING:
    from agentbus.runtime.runtime import Runtime


class DownReason(enum.Enum):
    """Why an actor ended."""

    STOPPED = "stopped"
    """It was asked to, or asked itself."""
    FAILED = "failed"
    """A message told to it, a timer, a task or a control message raised."""
    START_FAILED = "start_failed"
    """Its `on_start` raised, so it never handled a message."""


class Down(msgspec.Struct, frozen=True):
    """An actor's end: its last act, given to whoever asked for it with `on_exit`.

    Attributes:
        ref: whose end.
        reason: why.
        error: what was raised, if the reason is a failure, or if `on_stop` failed.
    """

    ref: LoopActorRef[Any]
    reason: DownReason
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """How an actor is started.

    Attributes:
        runtime: whose registry and dead letters; None = the process-wide one.
        loop: where it lives; None = the runtime's agents loop.
        mailbox: how much it holds, and what happens beyond.
        name: what logs call it; None = its class.
        on_exit: called with the actor's `Down`, on its loop, as its last act. It must not block.
        concurrency: messages that may be handled at a time, if their handlers are coroutines.
    """

    runtime: Runtime | None = None
    loop: Loop | None = None
    mailbox: MailboxOptions = field(default_factory=MailboxOptions)
    name: str | None = None
    on_exit: Callable[[Down], object] | None = None
    concurrency: int = 1

    def __post_init__(self) -> None:
        """Refuse an actor that could never handle anything."""
        if self.concurrency < 1:
            raise ValueError(f"an actor handles at least one message at a time, not {self.concurrency}")
