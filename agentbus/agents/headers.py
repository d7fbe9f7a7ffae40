"""What is known about a message besides its body, and what a handler's own messages inherit of it.

A feature adds a field with a default, its place in the `Envelope`, and a line in `headers_of` and in
`inherited`: nothing between the two ends looks inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from agentbus.agents.envelope import Envelope
    from agentbus.agents.scope import Scope

HOP_LIMIT = 512
"""Messages in a row that may cause one another: an echo stops here, a long talk does not."""


class Headers(msgspec.Struct, frozen=True):
    """What travels with a message.

    Attributes:
        sender: address text of the agent that sent it; None for a program outside any agent.
        deadline: on the runtime's clock; None without one. Between nodes it travels as seconds left.
        hops: how many messages in a row led to this one, each sent by the handler of the one before.
    """

    sender: str | None = None
    deadline: float | None = None
    hops: int = 0


PLAIN = Headers()


def inherited(scope: Scope | None, deadline: float | None) -> Headers:
    """Give the headers of a message that is sent now.

    Args:
        scope: what the sending code is part of.
        deadline: of the message, the scope's own already considered.
    """
    if scope is None:
        return PLAIN if deadline is None else Headers(None, deadline)
    delivery = scope.delivery
    return Headers(scope.agent.address, deadline, 0 if delivery is None else delivery.headers.hops + 1)


def headers_of(envelope: Envelope, deadline: float | None) -> Headers:
    """Give the headers of what came from another node."""
    if envelope.sender is None and deadline is None and not envelope.hops:
        return PLAIN
    return Headers(envelope.sender, deadline, max(0, envelope.hops))
