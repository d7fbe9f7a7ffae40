"""Requests that reach an actor too late: whoever made one hears of it, always."""

from __future__ import annotations

from typing import Any

from agentbus.client.requests import not_connected
from agentbus.runtime.actor import LoopActor


def answer_leftovers(actor: LoopActor, *fulfilled: type) -> None:
    """Answer every request that an ending actor will not come to; to be called when it takes nothing more.

    Args:
        actor: the ending actor. Messages of its that are no requests stay, for the dead letters.
        fulfilled: requests that the end itself fulfils; all others fail.
    """
    inbox = actor.actor_ref.actor_inbox
    others: list[Any] = []
    while inbox:
        message = inbox.take()
        reply = getattr(message, "reply", None)
        if reply is None:
            others.append(message)
        elif isinstance(message, fulfilled):
            reply.try_set(None)
        else:
            reply.try_set_exception(not_connected())
    for message in reversed(others):
        inbox.put_back(message)
