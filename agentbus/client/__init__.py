"""The client of a hub: `SignallingClient`, its options, its states and the events that it tells.

Behind the facade live three kinds of actor: a supervisor that owns the state, one connection per attempt, one
subscription per channel.
"""

from __future__ import annotations

from agentbus.client.capabilities import Capabilities
from agentbus.client.client import ClientStatistics, SignallingClient
from agentbus.client.events import (
    ChannelMessage,
    ConnectedEvent,
    DirectMessage,
    DisconnectedEvent,
    EventLost,
    GoingAwayEvent,
    MessagesMissed,
    PresenceEvent,
    PresencePeer,
    ServerErrorEvent,
    StateChange,
    TokenProviderErrorEvent,
)
from agentbus.client.options import SignallingClientOptions, TokenProvider
from agentbus.client.states import SignallingClientState
from agentbus.protocol.backoff import ReconnectOptions
from agentbus.protocol.codes import CloseCode, ErrorCode
from agentbus.protocol.ice import IceServer
from agentbus.protocol.limits import ConnectionLimits

__all__ = [
    "Capabilities",
    "ChannelMessage",
    "ClientStatistics",
    "CloseCode",
    "ConnectedEvent",
    "ConnectionLimits",
    "DirectMessage",
    "DisconnectedEvent",
    "ErrorCode",
    "EventLost",
    "GoingAwayEvent",
    "IceServer",
    "MessagesMissed",
    "PresenceEvent",
    "PresencePeer",
    "ReconnectOptions",
    "ServerErrorEvent",
    "SignallingClient",
    "SignallingClientOptions",
    "SignallingClientState",
    "StateChange",
    "TokenProvider",
    "TokenProviderErrorEvent",
]
