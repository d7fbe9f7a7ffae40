"""Dead letters of one bus: what its agents could not handle, and what never reached an agent."""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Callable
from typing import Any

from agentbus.agents.deadlock.reentry import Reentry
from agentbus.agents.delivery import Delivery, type_name
from agentbus.agents.events import DeadLetter
from agentbus.agents.home import Home, HomeSource
from agentbus.agents.outcome import Outcome
from agentbus.runtime import DeadLetter as RuntimeDeadLetter
from agentbus.runtime import Runtime


class DeadLetters(HomeSource[DeadLetter]):
    """A stream of dead letters: `.listen()`, `.subscribe(callback)`, `.count`.

    Args:
        runtime: cells bury what they drop with it; what was ours is taken from there.
        owner: the listing that our deliveries belong to.
        home: where async callbacks run.
    """

    def __init__(self, runtime: Runtime, owner: object, home: Home) -> None:
        super().__init__(runtime.callbacks, home)
        self._owner = owner
        self._count = 0
        self._attached = runtime.dead_letters.attach(_passed_on_to(weakref.ref(self)))

    def __del__(self) -> None:
        self._attached.cancel()

    @property
    def count(self) -> int:
        """How many there have been, whether or not anybody listened."""
        return self._count

    def from_cell(self, letter: RuntimeDeadLetter) -> None:
        """Publish what a cell of ours buried."""
        delivery = letter.message
        if isinstance(delivery, Delivery) and delivery.agent.belongs_to(self._owner):
            self.bury_delivery(delivery, letter.reason.value, letter.error)
            delivery.settle(Outcome.DEAD_LETTERED)
        elif isinstance(delivery, Reentry) and delivery.delivery.agent.belongs_to(self._owner):
            delivery.refused()

    def bury_delivery(self, delivery: Delivery, reason: str, error: BaseException | None = None) -> None:
        """Publish a message that lay in a mailbox, or was refused by one."""
        self.bury(
            delivery.agent.address,
            reason,
            delivery.message,
            delivery.headers.sender,
            delivery.type_name,
            error,
        )

    def bury(
        self,
        address: str,
        reason: str,
        message: Any,
        sender: str | None,
        message_type: str = "",
        error: BaseException | None = None,
    ) -> None:
        """Publish a dead letter; from any thread."""
        self._count += 1
        if self.listened_to:
            trace = "" if error is None else "".join(traceback.format_exception(error))
            kind = message_type or type_name(message)
            self.emit(DeadLetter(address, kind, reason, message, sender, error, trace))

    def close(self) -> None:
        """End the stream."""
        self._attached.cancel()
        super().close()


def _passed_on_to(letters: weakref.ref[DeadLetters]) -> Callable[[RuntimeDeadLetter], None]:
    """Give what the runtime may hold without keeping alive a bus that its owner forgot."""

    def take(letter: RuntimeDeadLetter) -> None:
        found = letters()
        if found is not None:
            found.from_cell(letter)

    return take
