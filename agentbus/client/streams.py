"""The listening half of a client: the streams of the reference page, callbacks, and mixed streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from agentbus.client.events import (
    ChannelMessage,
    ConnectedEvent,
    DirectMessage,
    DisconnectedEvent,
    EventLost,
    GoingAwayEvent,
    MessagesMissed,
    PresenceEvent,
    ServerErrorEvent,
    StateChange,
    TokenProviderErrorEvent,
)
from agentbus.client.listeners import KINDS, OF_CHANNELS, ClientEvents, Listeners
from agentbus.client.payloads import Event
from agentbus.runtime import EventStream

E = TypeVar("E", bound=Event)
F = TypeVar("F", bound=Callable[..., object])


class Streams:
    """One source of events per kind: `.subscribe(callback)`, or `.listen()` for `for` and `async for`.

    Attributes:
        on_connected: after every welcome, the first and those of reconnects.
        on_disconnected: after every ended attempt and connection.
        state_changes: every change of state.
        on_message: somebody published to a subscribed channel.
        on_messages_missed: messages of a channel are lost: the hub's history no longer reaches back.
        on_direct: somebody sent something to this peer.
        on_presence: who is in a subscribed channel, who came and who went.
        on_server_error: an error that answers no request of the caller's; the connection stays open.
        on_going_away: the hub is about to shut down.
        on_token_provider_error: the token provider failed at least three times in a row.
    """

    def __init__(self, listeners: Listeners) -> None:
        self._listeners = listeners
        self.on_connected: ClientEvents[ConnectedEvent] = listeners.of(ConnectedEvent)
        self.on_disconnected: ClientEvents[DisconnectedEvent] = listeners.of(DisconnectedEvent)
        self.state_changes: ClientEvents[StateChange] = listeners.of(StateChange)
        self.on_message: ClientEvents[ChannelMessage] = listeners.of(ChannelMessage)
        self.on_messages_missed: ClientEvents[MessagesMissed] = listeners.of(MessagesMissed)
        self.on_direct: ClientEvents[DirectMessage] = listeners.of(DirectMessage)
        self.on_presence: ClientEvents[PresenceEvent] = listeners.of(PresenceEvent)
        self.on_server_error: ClientEvents[ServerErrorEvent] = listeners.of(ServerErrorEvent)
        self.on_going_away: ClientEvents[GoingAwayEvent] = listeners.of(GoingAwayEvent)
        self.on_token_provider_error: ClientEvents[TokenProviderErrorEvent] = listeners.of(
            TokenProviderErrorEvent
        )

    def on(self, kind: type[Event], *, channel: str | None = None) -> Callable[[F], F]:
        """Call the decorated function for each event of a kind; it is returned unchanged.

        Args:
            kind: `ChannelMessage`, `DirectMessage`, `PresenceEvent`, ...
            channel: only those of this channel.

        Raises:
            TypeError: there is no such kind of event, or its events belong to no channel.
        """
        source = self._listeners.of(kind, channel)

        def decorate(callback: F) -> F:
            source.subscribe(callback)
            return callback

        return decorate

    @overload
    def events(self, *, channel: str | None = None, capacity: int = 1024) -> EventStream[Event]: ...

    @overload
    def events(self, *kinds: type[E], channel: str | None = None, capacity: int = 1024) -> EventStream[E]: ...

    def events(self, *kinds: type[Any], channel: str | None = None, capacity: int = 1024) -> EventStream[Any]:
        """Give a stream of events of these kinds (of all, if none is named) from now on, in order.

        Args:
            kinds: what to listen to.
            channel: only those of this channel.
            capacity: events that wait for a slow reader; then the oldest is dropped, and the reader gets an
                `EventLost(count)`.

        Returns:
            A stream for `for`, `async for` or `.get(timeout)`; it ends when the client is disposed.

        Raises:
            TypeError: as in `on`.
        """
        stream: EventStream[Any] = EventStream(capacity, lost_event=EventLost)
        every = KINDS if channel is None else OF_CHANNELS
        for source in [self._listeners.of(kind, channel) for kind in kinds or every]:
            stream.follow(source)
        return stream
