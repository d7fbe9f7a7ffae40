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


class Delivery(msgspec.Struct, eq=False):
    """What lies in an agent's mailbox.

    Attributes:
        agent: the recipient.
        message: the object that was sent, or a `Body`.
        headers: what travels with it.
        on_outcome: told exactly once what became of it; None if nobody asks.
        outlet: takes the chunks of a streamed reply; None where one reply is wanted.
        attachment: what the sender attached; None for most.
        attempt: the job that the message is, in the hands of a worker; None for most.
    """

    agent: LocalAgent
    message: Any
    headers: Headers
    on_outcome: Callable[[Outcome], object] | None = None
    outlet: Outlet[Any] | None = None
    attachment: Attachment | None = None
    attempt: Attempt | None = None

    def __repr__(self) -> str:
        return f"<Delivery of {self.type_name} to {self.agent.name}>"

    @property
    def type_name(self) -> str:
        """Wire name of the message; the class's name for what is no `Message`."""
        return type_name(self.message)

    def settle(self, outcome: Outcome) -> None:
        """Tell whoever asked what became of it; the first time counts."""
        told, self.on_outcome = self.on_outcome, None
        if told is not None:
            told(outcome)


def type_name(message: Any) -> str:
    """Name the type of a message: its wire name; the class's name for what is no `Message`."""
    if isinstance(message, Body):
        return message.type or "plain JSON"
    return message.__wire_name__ if isinstance(message, Message) else type(message).__qualname__
