"""What is known about a message besides its body, and what a handler's own messages inherit of it.

A feature adds a field with a default, its place in the `Envelope`, and a line in `headers_of` and in
`inherited`: nothing between the two ends looks inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from agentbus.agents.budgets.account import BudgetAccount
from agentbus.agents.budgets.wire import account_of

if TYPE_CHECKING:
    from agentbus.agents.envelope import Envelope
    from agentbus.agents.scope import Scope

HOP_LIMIT = 512
"""Messages in a row that may cause one another: an echo stops here, a long talk does not."""


MAX_CHAIN = 64
"""Agents in a row that an ask remembers as waiting for it: longer cycles end at the deadline."""

MAX_KEY = 200
"""Characters of a message's key."""

GUESTS_KEY = "guest:"
"""How the keys of peers without a node's token begin, once they are here; no other key begins so."""

Waiting = tuple[str, str]
"""An agent's address as text, and the number of the ask whose answer it waits for."""


class Headers(msgspec.Struct, frozen=True):
    """What travels with a message.

    Attributes:
        sender: address text of the agent that sent it; None for a program outside any agent.
        deadline: on the runtime's clock; None without one. Between nodes it travels as seconds left.
        hops: how many messages in a row led to this one, each sent by the handler of the one before.
        key: names what is asked for over all its re-sends, so that a stored agent does it once; never
            inherited.
        chain: who waits for the answer to this ask, oldest first; empty for a tell, and from a program.
        credit: chunks of a streamed reply that may come at first; 0 where one reply is wanted.
        attached: whether a stream of chunks follows the message.
        budget: the account that pays for it; None without one. It is not inherited: see `AgentRef.ask`.
    """

    sender: str | None = None
    deadline: float | None = None
    hops: int = 0
    chain: tuple[Waiting, ...] = ()
    credit: int = 0
    attached: bool = False
    budget: BudgetAccount | None = None
    key: str | None = None


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


def waited_for(scope: Scope, before: Headers, deadline: float | None, number: str) -> Headers:
    """Give the headers of an ask whose answer a handler may wait for.

    Args:
        scope: the handler.
        before: of the message that it handles.
        deadline: of the ask, the handler's own already considered.
        number: of the ask.
    """
    address, chain = scope.agent.address, before.chain
    mine = (address, number)
    return Headers(address, deadline, before.hops + 1, (*chain[1 - MAX_CHAIN :], mine) if chain else (mine,))


def first_to_wait(headers: Headers, number: str) -> Headers:
    """Give the headers of an ask whose answer an agent waits for while it starts, for no message.

    Args:
        headers: of the ask, as inherited.
        number: of the ask.
    """
    return msgspec.structs.replace(headers, chain=((headers.sender or "", number),))


def check_key(key: str) -> None:
    """Refuse what names nothing.

    Raises:
        ValueError: no text, one that is longer than 200 characters, or one that begins as guests' do.
    """
    if not 0 < len(key) <= MAX_KEY or key.startswith(GUESTS_KEY):
        raise ValueError(
            f"a key is a text of 1 to {MAX_KEY} characters that does not begin with {GUESTS_KEY!r}"
        )


def keyed(headers: Headers, key: str) -> Headers:
    """Give headers a key that was checked."""
    return msgspec.structs.replace(headers, key=key)


def headers_of(envelope: Envelope, deadline: float | None) -> Headers:
    """Give the headers of what came from another node."""
    plain = envelope.sender is None and deadline is None and not envelope.hops
    if plain and envelope.budget is None and envelope.key is None:
        return PLAIN
    budget = None if envelope.budget is None else account_of(envelope.budget, deadline)
    return Headers(
        envelope.sender,
        deadline,
        max(0, envelope.hops),
        envelope.chain[-MAX_CHAIN:],
        budget=budget,
        key=envelope.key,
    )
