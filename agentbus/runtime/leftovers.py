"""What becomes of mailbox items that nobody handles: askers are told, messages go to the dead letters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentbus.errors import MessageDroppedError
from agentbus.runtime.cell_control import Control
from agentbus.runtime.dead_letters import DeadLetterReason, DeadLetters
from agentbus.runtime.envelope import Again, Ask, Stop, Watch
from agentbus.runtime.mailbox import Overflow

_DROPS = {
    Overflow.DROP_OLDEST: DeadLetterReason.DROPPED_OLDEST,
    Overflow.DROP_NEWEST: DeadLetterReason.DROPPED_NEWEST,
}


def bury(letters: DeadLetters, recipient: str, gone: Callable[[], Exception], item: Any) -> None:
    """Deal with an item whose recipient has ended.

    Args:
        letters: where messages go.
        recipient: the address, as text.
        gone: makes the error that askers get.
        item: anything from a mailbox.
    """
    item = item.item if isinstance(item, Again) else item
    if isinstance(item, Stop):
        if item.future is not None:
            item.future.try_set(value=True)
    elif isinstance(item, Control):
        item.future.try_set(value=False)
    elif isinstance(item, Watch):
        item.future.try_set(item.value)
    elif not isinstance(item, Ask):
        letters.bury(recipient, item, DeadLetterReason.STOPPED)
    elif item.future.try_set_exception(gone()):
        letters.bury(recipient, item.message, DeadLetterReason.STOPPED)


def drop(letters: DeadLetters, recipient: str, overflow: Overflow, item: Any) -> None:
    """Deal with an item that a full mailbox dropped; see `bury`."""
    item = item.item if isinstance(item, Again) else item
    message = item
    if isinstance(item, Ask):
        message = item.message
        if not item.future.try_set_exception(MessageDroppedError(f"the mailbox of {recipient} was full")):
            return
    letters.bury(recipient, message, _DROPS[overflow])
