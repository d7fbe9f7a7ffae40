"""One message on its way into a mailbox, with all that is known about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from agentbus.agents.headers import Headers
from agentbus.agents.message import Message
from agentbus.agents.outcome import Outcome

if TYPE_CHECKING:
    from agentbus.agents.hosted import LocalAgent
    from agentbus.agents.queues.attempt import Attempt
    from agentbus.agents.streams.attachment import Attachment
    from agentbus.runtime.outlet import Outlet


class Body(msgspec.Struct, frozen=True):
    """A message as it came over the wire: its recipient decodes it, on its own thread.

    Attributes:
        type: wire name; empty for plain JSON.
        version: of the type.
        json: the text.
    """

    type: str
    version: int
    json: msgspec.Raw


class Delivery:
    """What lies in an agent's mailbox.

    Args:
        agent: the recipient.
        message: the object that was sent, or a `Body`.
        headers: what travels with it.
        on_outcome: told exactly once what became of it; None if nobody asks.

    Attributes:
        outlet: takes the chunks of a streamed reply; None where one reply is wanted.
        attachment: what the sender attached; None for most.
        attempt: the job that the message is, in the hands of a worker; None for most.
    """

    __slots__ = ("_on_outcome", "agent", "headers", "message")
    outlet: Outlet[Any] | None = None
    attachment: Attachment | None = None
    attempt: Attempt | None = None

    def __init__(
        self,
        agent: LocalAgent,
        message: Any,
        headers: Headers,
        on_outcome: Callable[[Outcome], object] | None = None,
    ) -> None:
        self.agent = agent
        self.message = message
        self.headers = headers
        self._on_outcome = on_outcome

    def __repr__(self) -> str:
        return f"<Delivery of {self.type_name} to {self.agent.name}>"

    @property
    def type_name(self) -> str:
        """Wire name of the message; the class's name for what is no `Message`."""
        return type_name(self.message)

    def settle(self, outcome: Outcome) -> None:
        """Tell whoever asked what became of it; the first time counts."""
        told, self._on_outcome = self._on_outcome, None
        if told is not None:
            told(outcome)


class FlowDelivery(Delivery):
    """A message with a stream of chunks beside it, in either direction.

    Args:
        agent: the recipient.
        message: see `Delivery`.
        headers: what travels with it.
        outlet: see `Delivery`.
        attachment: see `Delivery`.
    """

    __slots__ = ("attachment", "outlet")

    def __init__(
        self,
        agent: LocalAgent,
        message: Any,
        headers: Headers,
        outlet: Outlet[Any] | None,
        attachment: Attachment | None,
    ) -> None:
        super().__init__(agent, message, headers)
        self.outlet = outlet
        self.attachment = attachment


class JobDelivery(Delivery):
    """A job of a queue, as the message that it is.

    Args:
        agent: the recipient.
        message: see `Delivery`.
        headers: what travels with it.
        attempt: see `Delivery`.
    """

    __slots__ = ("attempt",)

    def __init__(self, agent: LocalAgent, message: Any, headers: Headers, attempt: Attempt) -> None:
        super().__init__(agent, message, headers)
        self.attempt = attempt


def type_name(message: Any) -> str:
    """Name the type of a message: its wire name; the class's name for what is no `Message`."""
    if isinstance(message, Body):
        return message.type or "plain JSON"
    return message.__wire_name__ if isinstance(message, Message) else type(message).__qualname__
