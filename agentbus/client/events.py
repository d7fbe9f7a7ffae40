"""What a client tells its listeners: frozen Structs, whose payloads are decoded when somebody reads them.

A payload arrives as the JSON text that its author wrote. `event.data` decodes it once, `event.data_as(Type)`
decodes straight into a type, `event.raw` is the text itself; an event that nobody reads costs no parsing.
Events can be made by hand too, with Python values as payloads, to test a handler.
"""

from __future__ import annotations

from typing import Any, cast

from agentbus.client.payloads import Event, Payloads, WithData, decoded_when_read
from agentbus.client.states import SignallingClientState
from agentbus.protocol.codes import CloseCode
from agentbus.protocol.frames import DirectFrame, GoingAway, MessageFrame, PresenceFrame, Welcome
from agentbus.protocol.frames import PresencePeer as WirePeer
from agentbus.protocol.ice import IceServer, ice_servers
from agentbus.protocol.limits import LIMITS_EXTENSION, ConnectionLimits

# -- what peers say ----------------------------------------------------------------------------------------


@decoded_when_read("sender_metadata", "data")
class ChannelMessage(WithData, frozen=True, dict=True, eq=False):
    """A peer published to a subscribed channel.

    Attributes:
        channel: where.
        sender: the publisher's peer id.
        sender_metadata: the publisher's metadata, if the subscription asked for it and there is any.
        data: the decoded payload.
    """

    channel: str
    sender: str
    sender_metadata: dict[str, Any] | None
    data: Any


@decoded_when_read("sender_metadata", "data")
class DirectMessage(WithData, frozen=True, dict=True, eq=False):
    """A peer sent something to this one alone.

    Attributes:
        sender: the sender's peer id.
        sender_metadata: the sender's metadata, if there is any.
        data: the decoded payload.
    """

    sender: str
    sender_metadata: dict[str, Any] | None
    data: Any


@decoded_when_read("metadata")
class PresencePeer(Payloads, frozen=True, dict=True, eq=False):
    """A peer in a channel, and what its token says about it."""

    peer_id: str
    metadata: dict[str, Any] | None = None


class MessagesMissed(Event, frozen=True):
    """Messages of a channel are lost to this client: the hub's history does not reach back to its last one.

    It comes once for each time, before the next message of that channel. Ask whoever knows for the state of
    things; what is published from now on arrives as ever.

    Attributes:
        channel: where.
        count: how many were published meanwhile, this client's own included; None where nobody knows.
    """

    channel: str
    count: int | None


class PresenceEvent(Event, frozen=True):
    """Who is in a channel, or who came and went.

    Attributes:
        channel: where.
        joined: a snapshot's whole roster, this peer itself excluded; else those who came.
        left: those who went.
        is_snapshot: whether this replaces what was known, instead of changing it.
    """

    channel: str
    joined: tuple[PresencePeer, ...]
    left: tuple[PresencePeer, ...]
    is_snapshot: bool


# -- the connection ----------------------------------------------------------------------------------------


class ConnectedEvent(Event, frozen=True):
    """The hub said welcome.

    Attributes:
        peer_id: who this client is, until the connection ends.
        server_time: Unix seconds on the hub's clock.
        expires_at: Unix seconds at which the token ends; None for a key.
        is_reconnect: whether the client came back by itself.
        max_message_size: bytes that the hub takes per message.
        ice_servers: TURN servers from the token's metadata; None without well-formed ones.
        limits: the rates and caps that the hub announced; None where it announced none.
    """

    peer_id: str
    server_time: int
    expires_at: int | None
    is_reconnect: bool
    max_message_size: int
    ice_servers: list[IceServer] | None
    limits: ConnectionLimits | None = None


class DisconnectedEvent(Event, frozen=True):
    """An attempt to connect, or a connection, ended.

    Attributes:
        code: the close code, with its rule and its explanation.
        reason: the hub's own text, unchecked.
        will_reconnect: whether the client goes on by itself.
    """

    code: CloseCode
    reason: str
    will_reconnect: bool


class StateChange(Event, frozen=True):
    """The client went from one state to another."""

    previous: SignallingClientState
    current: SignallingClientState


class ServerErrorEvent(Event, frozen=True):
    """The hub reported an error that answers no request of the caller's; the connection stays open.

    Attributes:
        code: an error code of protocol section 6, or an unknown one, verbatim.
        message: the hub's own text, unchecked; for people.
        request_id: what it answers, if it says so.
    """

    code: str
    message: str | None
    request_id: str | None


class GoingAwayEvent(Event, frozen=True):
    """The hub is about to shut down. The client's own backoff decides when it comes back.

    Attributes:
        retry_after: seconds that the hub proposes to stay away.
    """

    retry_after: float


class TokenProviderErrorEvent(Event, frozen=True):
    """The token provider failed several times in a row; the client goes on trying.

    Attributes:
        consecutive_failures: how often by now.
        error: what it raised, or a `TokenProviderError` if it ran out of time or gave no token.
    """

    consecutive_failures: int
    error: BaseException


class EventLost(Event, frozen=True):
    """This listener was too slow: its buffer overflowed, and so many of its oldest events are gone.

    It comes before the next event, to the callback or stream that lost them.

    Attributes:
        count: how many, since the last time.
    """

    count: int


# -- from frames -------------------------------------------------------------------------------------------


def channel_message(frame: MessageFrame) -> ChannelMessage:
    """Make the event of a `message` frame."""
    metadata: Any = frame.sender_metadata  # its slot takes the JSON text, its readers get the value
    return ChannelMessage(frame.channel, frame.sender, metadata, frame.data)


def direct_message(frame: DirectFrame) -> DirectMessage:
    """Make the event of a `direct` frame."""
    metadata: Any = frame.sender_metadata
    return DirectMessage(frame.sender, metadata, frame.data)


def presence_event(frame: PresenceFrame, *, is_snapshot: bool) -> PresenceEvent:
    """Make the event of a `presence` frame."""
    return PresenceEvent(frame.channel, _peers(frame.joined), _peers(frame.left), is_snapshot)


def _peers(peers: tuple[WirePeer, ...]) -> tuple[PresencePeer, ...]:
    return tuple(PresencePeer(peer.peer_id, cast("Any", peer.metadata)) for peer in peers)


def connected_event(frame: Welcome, *, is_reconnect: bool) -> ConnectedEvent:
    """Make the event of a `welcome` frame."""
    return ConnectedEvent(
        peer_id=frame.peer_id,
        server_time=frame.server_time,
        expires_at=frame.expires_at,
        is_reconnect=is_reconnect,
        max_message_size=frame.max_message_size,
        ice_servers=ice_servers(frame.metadata),
        limits=frame.limits if LIMITS_EXTENSION in frame.extensions else None,
    )


def going_away_event(frame: GoingAway) -> GoingAwayEvent:
    """Make the event of a `going_away` frame; seconds instead of milliseconds."""
    return GoingAwayEvent(frame.retry_after_ms / 1000)
