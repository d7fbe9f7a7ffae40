"""Messages that nobody handled, as an observable stream: to whom, what, and why."""

from __future__ import annotations

import enum
import traceback
from typing import TYPE_CHECKING, Any

import msgspec

from agentbus.runtime.streams import EventSource

if TYPE_CHECKING:
    from agentbus.runtime.callbacks import Callbacks


class DeadLetterReason(enum.Enum):
    """Why a message was not handled."""

    STOPPED = "stopped"
    """Its recipient ended before it came to it."""
    DROPPED_OLDEST = "dropped_oldest"
    """It made room for a newer one in a full mailbox."""
    DROPPED_NEWEST = "dropped_newest"
    """The mailbox was full when it came."""
    FAILED = "failed"
    """Its handling raised."""
    RESTARTED = "restarted"
    """Its recipient was restarted while it worked on it."""


class DeadLetter(msgspec.Struct, frozen=True):
    """One message that was not handled.

    Attributes:
        recipient: the address, as text.
        message: what was sent.
        reason: why nobody handled it.
        error: what its handling raised, if it did.
        traceback: where that was raised, as text; "" if nothing was.
    """

    recipient: str
    message: Any
    reason: DeadLetterReason
    error: BaseException | None = None
    traceback: str = ""


class DeadLetters(EventSource[DeadLetter]):
    """The dead letters of one runtime.

    Args:
        callbacks: see `EventSource`.
    """

    def __init__(self, callbacks: Callbacks | None = None) -> None:
        super().__init__(callbacks)
        self._count = 0

    @property
    def count(self) -> int:
        """How many there have been, whether or not anybody listened."""
        return self._count

    def bury(
        self,
        recipient: str,
        message: Any,
        reason: DeadLetterReason,
        error: BaseException | None = None,
    ) -> None:
        """Publish one dead letter; from any thread."""
        self._count += 1
        if not self.listened_to:
            return
        trace = "".join(traceback.format_exception(error)) if error is not None else ""
        self.emit(DeadLetter(recipient, message, reason, error, trace))
