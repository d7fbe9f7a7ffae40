"""Dead letters of one bus: what its agents could not handle, and what never reached an agent."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from agentbus.agents.deadlock.reentry import Reentry
from agentbus.agents.delivery import Delivery, type_name
from agentbus.agents.events import DeadLetter
from agentbus.agents.home import Home, HomeSource
from agentbus.agents.outcome import Outcome
from agentbus.errors import BusClosedError
from agentbus.runtime import DeadLetter as RuntimeDeadLetter
from agentbus.runtime import Future, Runtime
from agentbus.runtime.tally import Tally


class DeadLetters(HomeSource[DeadLetter]):
    """A stream of dead letters: `.listen()`, `.subscribe(callback)`; the latest are kept, and can be re-sent.

    Args:
        runtime: cells bury what they drop with it; what was ours is taken from there.
        owner: the listing that our deliveries belong to.
        home: where async callbacks run.
        keep: how many of the latest are kept.
    """

    def __init__(self, runtime: Runtime, owner: object, home: Home, keep: int) -> None:
        super().__init__(runtime.callbacks, home)
        self._owner = owner
        self._tally = Tally()
        self._resent = Tally()
        self._recent: deque[DeadLetter] = deque(maxlen=keep)
        self._post: Callable[[DeadLetter], Future[Outcome]] | None = None
        self._attached = runtime.dead_letters.attach(_passed_on_to(weakref.ref(self)))

    def __del__(self) -> None:
        self._attached.cancel()

    @property
    def count(self) -> int:
        """How many there have been, whether or not anybody listened."""
        return self._tally.total

    @property
    def counts_by_reason(self) -> dict[str, int]:
        """How many there have been for each reason, see `DeadLetter`."""
        return self._tally.counts()

    @property
    def resent(self) -> int:
        """How many were sent again; each is a message of its own, with its own outcome."""
        return self._resent.total

    def recent(self, limit: int = 20) -> list[DeadLetter]:
        """Give the latest, the newest last; `NodeOptions.dead_letters` says how many are kept."""
        return list(self._recent)[-limit:] if limit > 0 else []

    def resend(self, letter: DeadLetter) -> Future[Outcome]:
        """Tell its message to its recipient once more, without its deadline and its budget.

        Whoever asked has had an error by then, so a question is told, too.

        Returns:
            The future of what becomes of it now; see `AgentRef.tell`.
        """
        if self._post is None:
            return Future.failed(BusClosedError())
        self._resent.add("resent")
        return self._post(letter)

    def resend_by(self, post: Callable[[DeadLetter], Future[Outcome]]) -> None:
        """Know what sends a letter again; for the bus."""
        self._post = post

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
        self._tally.add(reason)
        kind = message_type or type_name(message)
        letter = DeadLetter(address, kind, reason, message, sender, error, self.resend)
        self._recent.append(letter)
        if self.listened_to:
            self.emit(letter)

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
