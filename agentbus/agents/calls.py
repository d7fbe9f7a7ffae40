"""Messages to agents of other nodes, and what their senders wait for. Lives on the I/O loop."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import msgspec

from agentbus.agents.address import Address
from agentbus.agents.budgets.account import BudgetAccount
from agentbus.agents.budgets.wire import Spent, amounts_of, grant_of
from agentbus.agents.delivery import Body
from agentbus.agents.envelope import Envelope, Stamp
from agentbus.agents.failures import Failure, rebuild
from agentbus.agents.handlers import decode_reply
from agentbus.agents.headers import PLAIN, Headers
from agentbus.agents.message import Message, reply_type
from agentbus.agents.outcome import Outcome
from agentbus.errors import AskTimeoutError, OutcomeUnknownError, UndecodableMessageError
from agentbus.runtime import Future


class Parcel(msgspec.Struct, frozen=True):
    """A message that is to leave the node.

    Attributes:
        address: to whom.
        kind: see `Kind`.
        body: its JSON.
        type: wire name; empty for plain JSON.
        version: of the type.
        headers: what travels with it.
        call: who waits for what becomes of it; None if nobody does.
        message: the object that was sent, for dead letters.
    """

    address: Address
    kind: str
    body: msgspec.Raw
    type: str = ""
    version: int = 1
    headers: Headers = PLAIN
    call: Call | None = None
    message: Any = None

    def envelope(self, number: str) -> Envelope:
        """Give what goes over the wire; the deadline goes beside it."""
        headers, call = self.headers, self.call
        budget = headers.budget
        return Envelope(
            number,
            self.kind,
            self.address.agent,
            headers.sender,
            None,
            self.type,
            self.version,
            self.body,
            hops=headers.hops,
            chain=headers.chain,
            credit=headers.credit,
            attached=headers.attached,
            reads=call.reads if isinstance(call, Ask) else 1,
            budget=None if budget is None else grant_of(budget, headers.deadline),
            key=headers.key,
        )


class Call(Protocol):
    """Who waits for what becomes of a parcel."""

    @property
    def over(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def withdrawn(self) -> None:
        """It was given up before it left."""
        ...

    def settle(self, outcome: Outcome) -> None:
        """Take the link's word of what became of it."""
        ...

    def fail(self, error: Exception, outcome: Outcome) -> None:
        """It never left, or never will."""
        ...


class Tell:
    """Somebody may want to know what became of a told message."""

    __slots__ = ("_future",)

    def __init__(self, future: Future[Outcome]) -> None:
        self._future = future

    @property
    def over(self) -> bool:
        """Whether nobody waits any more."""
        return self._future.done()

    def withdrawn(self) -> None:
        """It was given up before it left: who does that has settled it."""

    def settle(self, outcome: Outcome) -> None:
        """Take the link's word of what became of it."""
        self._future.try_set(outcome)

    def fail(self, error: Exception, outcome: Outcome) -> None:
        """It never left, or never will."""
        del error
        self._future.try_set(outcome)


_FATES: dict[Outcome, tuple[type[Exception], str]] = {
    Outcome.EXPIRED: (AskTimeoutError, "the deadline passed before the agent came to this message"),
    Outcome.DEAD_LETTERED: (UndecodableMessageError, "the message could not be handled there"),
    Outcome.UNKNOWN: (
        OutcomeUnknownError,
        "the agent's node is gone; the message may or may not have been handled",
    ),
}


@lru_cache(maxsize=1024)
def _expectations(kind: type) -> tuple[Any, str | None, int]:
    """Give what a class says of its reply: its type, the module that its name is near, the version read."""
    if not issubclass(kind, Message):
        return None, None, 1
    expected = reply_type(kind)
    return expected, kind.__module__, getattr(expected, "__wire_version__", 1)


class Ask:
    """Somebody waits for a reply.

    Args:
        future: of the reply.
        message: what is asked, which says how the reply is read.
        budget: the account that pays for it; it gets back what the answer says was not spent.

    Attributes:
        future: of the reply.
        stamp: the life of the node that it was sent to; None while it waits here.
        place: among what waits for the link to that life; see `Link.post`.
        reads: the version of the reply that is expected; 1 where any will do.
    """

    __slots__ = ("_budget", "_expected", "_near", "future", "place", "reads", "stamp")
    tells_its_end = False
    """Whether it tells the other side by itself that nobody waits any more, once it has left."""

    def __init__(self, future: Future[Any], message: Any, budget: BudgetAccount | None = None) -> None:
        self.future = future
        self._budget = budget
        if budget is not None:
            budget.away = True
        self.stamp: Stamp | None = None
        self.place = 0
        self._expected, self._near, self.reads = _expectations(message.__class__)

    @property
    def over(self) -> bool:
        """Whether nobody waits any more."""
        return self.future.done()

    def settle(self, outcome: Outcome) -> None:
        """Take the link's word; after *delivered* the reply is on its way; errors precede their receipts."""
        fate = _FATES.get(outcome)
        if fate is not None:
            self.future.try_set_exception(fate[0](fate[1]))

    def fail(self, error: Exception, outcome: Outcome) -> None:
        """It never left, or never will."""
        del outcome
        self.withdrawn()
        self.future.try_set_exception(error)

    def withdrawn(self) -> None:
        """It was given up before it left."""
        if self._budget is not None:
            self._budget.never_left()

    def sent(self, number: str, stamp: Stamp) -> None:
        """Note that it is on its way: under which number, and to which life of the node."""
        del number
        self.stamp = stamp

    def reply(self, envelope: Envelope) -> None:
        """Take the reply."""
        self._settle_budget(envelope.spent)
        try:
            value = self.decode(envelope.type, envelope.version, envelope.body)
        except UndecodableMessageError as error:
            self.future.try_set_exception(error)
        else:
            self.future.try_set(value)

    def decode(self, name: str, version: int, body: msgspec.Raw) -> Any:
        """Read what came back as what the request promises.

        Raises:
            UndecodableMessageError: it can't be read.
        """
        return decode_reply(name, version, body, expected=self._expected, near=self._near)

    def error(self, envelope: Envelope) -> None:
        """Take the error that came instead of a reply."""
        self._settle_budget(envelope.spent)
        failure = envelope.failure or Failure("AgentFailed", "no reason was given")
        self.future.try_set_exception(rebuild(failure))

    def _settle_budget(self, spent: Spent | None) -> None:
        """Take back what was not spent, before the asker goes on."""
        if self._budget is not None:
            self._budget.settle(amounts_of(spent))


def type_and_version(message: Any) -> tuple[str, int]:
    """Give what names a message's type on the wire."""
    if isinstance(message, Message):
        return message.__wire_name__, message.__wire_version__
    return (message.type, message.version) if isinstance(message, Body) else ("", 1)
