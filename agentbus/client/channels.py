"""The subscription actors of one client: made when a channel is wanted, stopped when nothing is left."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from agentbus.client.connection import ConnectionActor
from agentbus.client.subscription import SubscriptionActor
from agentbus.runtime.down import Down
from agentbus.runtime.ref import LoopActorRef

Start = Callable[[str, Callable[[int], object]], LoopActorRef[SubscriptionActor]]


class _Channel:
    """One actor, and how many messages it was sent."""

    __slots__ = ("actor", "sent")

    def __init__(self, actor: LoopActorRef[SubscriptionActor]) -> None:
        self.actor = actor
        self.sent = 0

    def tell(self, message: Any) -> None:
        self.sent += 1
        self.actor.tell(message)


class Channels:
    """The supervisor's children, by channel. On the loop's thread only.

    Args:
        start: starts the actor of a channel, which calls the given function when nothing is left of it, with
            the number of messages that it has handled by then.
    """

    def __init__(self, start: Start) -> None:
        self._start = start
        self._channels: dict[str, _Channel] = {}
        self._connection: LoopActorRef[ConnectionActor] | None = None

    def __len__(self) -> int:
        return len(self._channels)

    def tell(self, channel: str, message: Any) -> None:
        """Pass a message on to the actor of a channel, which begins to live with it if need be."""
        entry = self._channels.get(channel)
        if entry is None:
            actor = self._start(channel, functools.partial(self._idle, channel))
            entry = self._channels[channel] = _Channel(actor)
            if self._connection is not None:
                entry.tell(SubscriptionActor.ConnectionUp(self._connection))
        entry.tell(message)

    def connection_up(self, connection: LoopActorRef[ConnectionActor]) -> None:
        """Let every channel ask for itself, in parallel."""
        self._connection = connection
        for entry in self._channels.values():
            entry.tell(SubscriptionActor.ConnectionUp(connection))

    def connection_down(self) -> None:
        """Let every channel wait."""
        self._connection = None
        for entry in self._channels.values():
            entry.tell(SubscriptionActor.ConnectionDown())

    def stop(self) -> None:
        """Stop all, each after what it was told."""
        for entry in self._channels.values():
            entry.actor.stop(block=False)
        self._channels.clear()

    def exited(self, channel: str, down: Down) -> None:
        """Forget an actor that failed; the channel gets another when somebody wants something of it."""
        entry = self._channels.get(channel)
        if entry is not None and entry.actor is down.ref:
            del self._channels[channel]

    def _idle(self, channel: str, handled: int) -> None:
        entry = self._channels.get(channel)
        if entry is not None and entry.sent == handled:  # else it will have something to do in a moment
            del self._channels[channel]
            entry.actor.stop(block=False)
