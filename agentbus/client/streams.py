"""The streams of a client by the names that the reference page gives them."""

from __future__ import annotations

from agentbus.client.events import (
    ChannelMessage,
    ConnectedEvent,
    DirectMessage,
    DisconnectedEvent,
    GoingAwayEvent,
    PresenceEvent,
    ServerErrorEvent,
    StateChange,
    TokenProviderErrorEvent,
)
from agentbus.client.listeners import ClientEvents, Listeners


class Streams:
    """One source of events per kind: `.subscribe(callback)`, or `.listen()` for `for` and `async for`.

    Attributes:
        on_connected: after every welcome, the first and those of reconnects.
        on_disconnected: after every ended attempt and connection.
        state_changes: every change of state.
        on_message: somebody published to a subscribed channel.
        on_direct: somebody sent something to this peer.
        on_presence: who is in a subscribed channel, who came and who went.
        on_server_error: an error that answers no request of the caller's; the connection stays open.
        on_going_away: the hub is about to shut down.
        on_token_provider_error: the token provider failed at least three times in a row.
    """

    def __init__(self, listeners: Listeners) -> None:
        self.on_connected: ClientEvents[ConnectedEvent] = listeners.of(ConnectedEvent)
        self.on_disconnected: ClientEvents[DisconnectedEvent] = listeners.of(DisconnectedEvent)
        self.state_changes: ClientEvents[StateChange] = listeners.of(StateChange)
        self.on_message: ClientEvents[ChannelMessage] = listeners.of(ChannelMessage)
        self.on_direct: ClientEvents[DirectMessage] = listeners.of(DirectMessage)
        self.on_presence: ClientEvents[PresenceEvent] = listeners.of(PresenceEvent)
        self.on_server_error: ClientEvents[ServerErrorEvent] = listeners.of(ServerErrorEvent)
        self.on_going_away: ClientEvents[GoingAwayEvent] = listeners.of(GoingAwayEvent)
        self.on_token_provider_error: ClientEvents[TokenProviderErrorEvent] = listeners.of(
            TokenProviderErrorEvent
        )
