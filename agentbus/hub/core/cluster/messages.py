"""What hubs of one cluster tell each other, as MessagePack. Payloads travel as bytes and are never parsed.

Every packet begins with the version; a hub ignores packets of another version, and messages in a batch whose
tag it does not know, so that a newer hub may tell more.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from agentbus.errors import PacketError

VERSION = 1
"""To be raised when a hub of the old version can't make sense of what the new one says."""


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of what one hub tells another, in the order of their link."""


class Begin(Message, frozen=True, array_like=True, tag=1):
    """The seats up to `End` are all that I have: whatever else you know of mine is over."""


class Seat(Message, frozen=True, array_like=True, tag=2):
    """So many connections of a peer are in a channel at this hub, or in the app where `channel` is "".

    Attributes:
        app: the app's id.
        channel: its name; "" for the app as a whole.
        peer: the peer's id; "" for the hub itself, which wants the messages and is no peer.
        connections: how many there are now; 0 when the last one left.
        metadata: the peer's metadata as JSON; of channels only.
    """

    app: str
    channel: str
    peer: str
    connections: int
    metadata: bytes | None = None


class End(Message, frozen=True, array_like=True, tag=3):
    """That was all; from here on seats are changes."""


class Publication(Message, frozen=True, array_like=True, tag=4):
    """A publish that was accepted by this hub, for the subscribers at yours."""

    app: str
    channel: str
    sender: str
    data: bytes
    metadata: bytes | None = None


class Deliver(Message, frozen=True, array_like=True, tag=5):
    """Hand a message to the connections of a peer at your hub, and answer with `Delivered`.

    Attributes:
        number: names the question.
        app: the app's id.
        peer: who it is for.
        sender: the sending peer's id.
        data: the payload, JSON.
        metadata: the sender's, JSON.
    """

    number: int
    app: str
    peer: str
    sender: str
    data: bytes
    metadata: bytes | None = None


class Delivered(Message, frozen=True, array_like=True, tag=6):
    """It was handed to so many connections; 0 where the peer is not here."""

    number: int
    connections: int


class Kick(Message, frozen=True, array_like=True, tag=7):
    """Close the connections of a peer at your hub: an operator said so."""

    app: str
    peer: str


class Counts(Message, frozen=True, array_like=True, tag=8):
    """Messages accepted in a period, by the hub that counted them: what this hub counted and heard of.

    Attributes:
        app: the app's id.
        period_start: Unix seconds of the month's first moment.
        by_hub: accepted publishes and sends by the hub's name.
    """

    app: str
    period_start: int
    by_hub: dict[str, int]


class Restart(Message, frozen=True, array_like=True, tag=9):
    """I missed something of yours: begin a new stream, with all your seats."""


AnyMessage: TypeAlias = Begin | Seat | End | Publication | Deliver | Delivered | Kick | Counts | Restart


class Batch(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Messages from one hub to one other, in order.

    Attributes:
        sender: the sending hub's life.
        stream: counts the sender's streams; each begins with all its seats, at number 1.
        number: counts the batches of the stream. Without messages, it repeats the latest number.
        messages: encoded each.
    """

    sender: str
    stream: int
    number: int
    messages: list[msgspec.Raw]


class Beat(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """To everyone: I am here. To the sender itself: the backplane carries."""

    sender: str


class Bye(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """To everyone: I stop now, my peers are gone."""

    sender: str


Packet: TypeAlias = Batch | Beat | Bye

_encoder = msgspec.msgpack.Encoder()
encode_message = _encoder.encode
_packets: msgspec.msgpack.Decoder[Packet] = msgspec.msgpack.Decoder(Packet)
_messages: msgspec.msgpack.Decoder[AnyMessage] = msgspec.msgpack.Decoder(AnyMessage)
_HEAD = bytes((VERSION,))


def encode_packet(packet: Packet) -> bytes:
    """Write one packet."""
    return _HEAD + _encoder.encode(packet)


def decode_packet(payload: bytes) -> Packet:
    """Read one packet.

    Raises:
        PacketError: it is of another version, or none.
    """
    if payload[:1] != _HEAD:
        raise PacketError(f"a packet of version {payload[0] if payload else 'none'}, not {VERSION}")
    try:
        return _packets.decode(memoryview(payload)[1:])
    except msgspec.MsgspecError as error:
        raise PacketError(str(error)) from None


def decode_message(raw: msgspec.Raw) -> AnyMessage | None:
    """Read one message of a batch; None where this version does not know its kind."""
    try:
        return _messages.decode(raw)
    except msgspec.MsgspecError:
        return None
