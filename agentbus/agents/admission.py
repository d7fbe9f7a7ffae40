"""Asks of other nodes on their way into a mailbox here: at once, parked until it has room, or refused.

On the I/O loop, which never waits. What nobody wants any more when its turn comes does not start.
"""

from __future__ import annotations

from typing import Any

from agentbus.agents.delivery import Delivery
from agentbus.agents.envelope import Envelope, Stamp
from agentbus.agents.hosted import LocalAgent
from agentbus.agents.parking import Parking, Visit
from agentbus.errors import MailboxFullError
from agentbus.runtime import Future


class _Turn:
    """A parked ask: a future for the reply before there is one."""

    def __init__(self, agent: LocalAgent, delivery: Delivery) -> None:
        self.future: Future[Any] = Future()
        self._agent = agent
        self._delivery = delivery

    def enter(self) -> bool:
        """Go into the mailbox; False if that is full."""
        if self.future.done():
            return True
        inside = self._agent.try_ask(self._delivery)
        if inside is None:
            return False
        inside.add_done_callback(lambda _inside: _pass_on(inside, self.future))
        self.future.add_done_callback(lambda _future: _pass_on(self.future, inside))
        return True


def _pass_on(one: Future[Any], other: Future[Any]) -> None:
    """Let the outcome of a future be that of another, which may have its own."""
    error = one.exception()
    if one.cancelled():
        other.cancel()
    elif error is not None:
        other.try_set_exception(error)
    else:
        other.try_set(one.get())


def admit(
    parking: Parking, agent: LocalAgent, delivery: Delivery, stamp: Stamp, envelope: Envelope
) -> Future[Any]:
    """Put what is asked into a mailbox, or park it; the future is of the reply.

    Whoever makes that future done before the turn has come, by cancelling it or by a deadline, has the
    message dropped. It fails with `MailboxFullError` if there is no room anywhere.

    Args:
        parking: where it waits.
        agent: the recipient.
        delivery: what goes into its mailbox.
        stamp: the life of the node that asks.
        envelope: the request.
    """
    if agent not in parking or agent.comes_back(delivery):
        future = agent.try_ask(delivery)
        if future is not None:
            return future
    turn = _Turn(agent, delivery)
    if parking.put(agent, Visit(stamp, envelope.recipient, len(envelope.body), turn.enter)):
        return turn.future
    return Future.failed(MailboxFullError(agent.queued))
