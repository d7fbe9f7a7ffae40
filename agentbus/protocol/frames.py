"""The frames of the wire, one frozen Struct each: what they carry, and nothing about how they are used.

Attributes are snake_case, their wire names camelCase (`peer_id` is `peerId`; `sender` is `from`). A payload
(`data`, a peer's metadata) is `msgspec.Raw`: the JSON text that its author wrote, byte for byte, never parsed
here. A decoded `Raw` shares memory with the bytes that it was decoded from.

Fields without a default are never omitted from the wire (spec section 3: `expiresAt`, both lists of
`presence`); fields that hold their default are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Raw, Struct, field
from msgspec.structs import force_setattr

from agentbus.protocol.extensions import DedupeTerms, Offset, Position, ShortText
from agentbus.protocol.limits import ConnectionLimits

DEFAULT_RETRY_AFTER_MS = 1000
LONGEST_RETRY_AFTER_MS = 300_000

if TYPE_CHECKING:
    MaybeRaw = Raw | None
    MaybeRequestId = str | None
    MaybeText = str | None
    MaybePosition = Position | None
    MaybeOffset = int | None
    Whole = int
else:
    # What msgspec reads off the wire. A default of None stands for "absent" without making an explicit null
    # legal: `data: null` is Raw(b"null"), `requestId: null` is refused (spec section 2).
    MaybeRaw = Raw
    MaybeRequestId = Annotated[str, Meta(min_length=1, max_length=128)]
    MaybeText = ShortText
    MaybePosition = Position
    MaybeOffset = Offset
    Whole = int | float


class Frame(
    Struct,
    frozen=True,
    gc=False,
    tag_field="type",
    rename="camel",
    omit_defaults=True,
    repr_omit_defaults=True,
):
    """What every frame is: one JSON object with a string `type`. Unknown fields are ignored."""


# -- client to hub (spec section 2) ------------------------------------------------------------------------


class Subscribe(Frame, frozen=True, gc=False, tag="subscribe"):
    """Ask for a channel's messages and presence; the last one's options win.

    Attributes:
        recover: follow the channel's history (extension `recover.v1`, as is what follows).
        since: what the client has had of it.
        producer: names the client over all of its connections.
    """

    channel: str
    include_sender_metadata: bool = False
    request_id: MaybeRequestId = None
    recover: bool = False
    since: MaybePosition = None
    producer: MaybeText = None


class Unsubscribe(Frame, frozen=True, gc=False, tag="unsubscribe"):
    """Give a channel up; success also where there was no subscription."""

    channel: str
    request_id: MaybeRequestId = None


class Publish(Frame, frozen=True, gc=False, tag="publish"):
    """Send `data` to every other connection subscribed to the channel.

    `data` is None only where the frame had none: `missing_data`, once the earlier checks have passed. A
    repeat of an `id` is not delivered again (extension `dedupe.v1`).
    """

    channel: str
    data: MaybeRaw = None
    request_id: MaybeRequestId = None
    id: MaybeText = None


class Send(Frame, frozen=True, gc=False, tag="send"):
    """Send `data` to every connection of one peer. `data` and `id` are as in `Publish`."""

    to: str
    data: MaybeRaw = None
    request_id: MaybeRequestId = None
    id: MaybeText = None


class Ping(Frame, frozen=True, gc=False, tag="ping"):
    """Ask for a `pong`; never acked."""

    request_id: MaybeRequestId = None


ClientFrame = Subscribe | Unsubscribe | Publish | Send | Ping


# -- hub to client (spec section 3) ------------------------------------------------------------------------


class Welcome(Frame, frozen=True, tag="welcome"):
    """Open the conversation: the first frame, exactly once.

    Attributes:
        peer_id: who the hub takes this connection for.
        expires_at: Unix seconds at which the credential ends, None if never.
        server_time: Unix seconds on the hub's clock.
        max_message_size: bytes that the hub takes per message; positive.
        metadata: private to this connection; `iceServers` lives here by convention.
        extensions: names of the extensions that the hub offers (spec section 9).
        limits: what the extension `limits.v1` announces; None where the hub does not offer it.
        dedupe: what `dedupe.v1` announces, likewise.
    """

    peer_id: str
    expires_at: Whole | None
    server_time: Whole
    max_message_size: Whole
    metadata: dict[str, Any] | None = None
    extensions: tuple[str, ...] = ()
    limits: ConnectionLimits | None = None
    dedupe: DedupeTerms | None = None

    def __post_init__(self) -> None:
        """Make numbers whole, as the official SDKs do; ValueError for a size that is not positive."""
        for name in ("expires_at", "server_time", "max_message_size"):
            value = getattr(self, name)
            if isinstance(value, float):
                force_setattr(self, name, int(value))
        if self.max_message_size < 1:
            msg = "maxMessageSize must be positive"
            raise ValueError(msg)


class Ack(Frame, frozen=True, gc=False, tag="ack"):
    """Say that the request succeeded.

    Attributes:
        position: where the history of a channel stands that a `subscribe` follows (`recover.v1`).
        recovered: whether all since the place that it named follows; None without a position.
        channel: where a followed channel's own publish went, and its number there.
        offset: see above.
    """

    request_id: str
    position: MaybePosition = None
    recovered: bool | None = None
    channel: str | None = None
    offset: MaybeOffset = None


class ErrorFrame(Frame, frozen=True, gc=False, tag="error"):
    """Say that a request, or a frame that could not be read as one, was refused.

    Attributes:
        code: an error code of spec section 6, or an unknown one, verbatim.
        request_id: the request that it answers, None if that had none.
        message: for people; never branch on it.
    """

    code: Annotated[str, Meta(min_length=1)]
    request_id: str | None = None
    message: str | None = None


class MessageFrame(Frame, frozen=True, gc=False, tag="message"):
    """Deliver what `sender` published; its metadata only to those who asked for it.

    Followers of the channel's history get each message's number there.
    """

    channel: str
    sender: str = field(name="from")
    data: Raw
    sender_metadata: MaybeRaw = field(default=None, name="fromMetadata")
    offset: MaybeOffset = None


class DirectFrame(Frame, frozen=True, gc=False, tag="direct"):
    """Deliver what `sender` sent to this peer alone."""

    sender: str = field(name="from")
    data: Raw
    sender_metadata: MaybeRaw = field(default=None, name="fromMetadata")
    offset: MaybeOffset = None


class PresencePeer(Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """One peer in a channel, and its `peerMetadata` where it has any."""

    peer_id: str
    metadata: MaybeRaw = None


class PresenceFrame(Frame, frozen=True, gc=False, tag="presence"):
    """Tell who is in a channel (the first after a subscribe) or who came and went (all later ones)."""

    channel: str
    joined: tuple[PresencePeer, ...]
    left: tuple[PresencePeer, ...]


class GoingAway(Frame, frozen=True, gc=False, tag="going_away"):
    """Announce a shutdown. Missing or non-positive reads as 1000 ms; the longest is 300 000 ms."""

    retry_after_ms: Whole = DEFAULT_RETRY_AFTER_MS

    def __post_init__(self) -> None:
        """Bring the number into its range, so that nobody sleeps for as long as a hub fancies."""
        wanted = int(min(self.retry_after_ms, LONGEST_RETRY_AFTER_MS))
        force_setattr(self, "retry_after_ms", wanted if wanted > 0 else DEFAULT_RETRY_AFTER_MS)


class Pong(Frame, frozen=True, gc=False, tag="pong"):
    """Answer a `ping`."""

    request_id: str | None = None


ServerFrame = Welcome | Ack | ErrorFrame | MessageFrame | DirectFrame | PresenceFrame | GoingAway | Pong
