"""Listening to topics, as programs do it: a handler, its lane, and the wait until the hub knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentbus.agents.delivery import Body
from agentbus.agents.message import Message
from agentbus.agents.ref import AgentRef
from agentbus.agents.topics import Listener
from agentbus.runtime import Callbacks, Future, Lane
from agentbus.runtime.callbacks import is_async

Handler = Callable[[Any], Any] | AgentRef


class TopicSubscription:
    """One handler's place at a topic.

    Args:
        ready: done once the hub knows that somebody here listens; fails with `MissingPermission`.
        undo: removes the handler.
        topic: what it listens to.

    Attributes:
        ready: see above; where topics share a channel, and for a member of a group, once the other nodes
            have been told, too. What is broadcast before may be missed.
    """

    def __init__(self, ready: Future[None], undo: Callable[[], object], topic: str) -> None:
        self.ready = ready
        self._topic = topic
        self._undo: Callable[[], object] | None = undo

    def __repr__(self) -> str:
        state = "cancelled" if self._undo is None else "listening" if self.ready.done() else "not ready yet"
        return f"<TopicSubscription to {self._topic!r}, {state}>"

    def cancel(self) -> None:
        """Listen no more; idempotent."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()


def listener_for(
    kind: type[Message], handler: Handler, callbacks: Callbacks, loop: Any, group: str | None = None
) -> tuple[Listener, Lane[Any] | None]:
    """Make the listener of a handler, and its lane.

    Args:
        kind: the messages that it takes.
        handler: sync, async, or an agent, which is told each message.
        callbacks: makes lanes.
        loop: where an async handler runs; None for the agents' loop.
        group: see `Listener`.
    """
    listener: Listener
    if isinstance(handler, AgentRef):
        forward = handler

        def tell(item: Message | Body) -> None:
            message = listener.read(item)
            if message is not None:
                forward.tell(message)

        listener = Listener(kind, tell, group)
        return listener, None
    lane = callbacks.lane(_reading(lambda: listener, handler), loop=loop)
    listener = Listener(kind, lane.post, group)
    return listener, lane


def _reading(listener: Callable[[], Listener], handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Decode on the lane, so that a large body or an odd type is nobody else's delay."""
    if is_async(handler):

        async def call_async(item: Message | Body) -> None:
            message = listener().read(item)
            if message is not None:
                await handler(message)

        return call_async

    def call(item: Message | Body) -> None:
        message = listener().read(item)
        if message is not None:
            handler(message)

    return call
