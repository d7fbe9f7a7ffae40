r"""What travels in a frame's `data`: packets of a link, and in each of them envelopes.

One JSON object per frame, tagged by its `agentbus` field with name and version, so that a frame of somebody
else, or of a later version, is told apart by its first key. Fields that a reader does not know are ignored;
a feature adds optional ones.

    {"agentbus": "link/1", "from": ["node", "incarnation"], "to": ["node", "incarnation"], "ack": 41,
     "items": [[7, 4.25, {"id": …, "kind": "ask", "to": "sum", "type": "Summarise", "body": {…}}], [8, null,
     null, [[3, 6, 0]]], [9, null, "{\\"id\\": …", [], [9, 0, 200000, 3735928559]]]}
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from agentbus.agents.budgets.wire import Grant, Spent
from agentbus.agents.failures import Failure
from agentbus.errors import UndecodableMessageError

NOTHING = msgspec.Raw(b"null")
_encoder = msgspec.json.Encoder()


class Stamp(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One life of one node.

    Attributes:
        node: the id that outlives connections and restarts.
        incarnation: random, new at every start.
    """

    node: str
    incarnation: str


class Kind(enum.StrEnum):
    """What an envelope is for."""

    TELL = "tell"
    ASK = "ask"
    REPLY = "reply"
    ERROR = "error"
    STOP = "stop"
    WATCH = "watch"
    UNWATCH = "unwatch"
    DOWN = "down"
    BROADCAST = "broadcast"
    PROBE = "probe"
    PROBED = "probed"
    CANCEL = "cancel"
    CONTROL = "control"
    STREAM = "stream"
    """A request with chunks beside it: those of its reply, those attached to it, or both."""
    CHUNK = "chunk"
    CREDIT = "credit"
    END = "end"
    CLOSE = "close"
    VERSIONS = "versions"
    HOLD = "hold"
    RELEASE = "release"


class Envelope(
    msgspec.Struct, frozen=True, omit_defaults=True, rename={"recipient": "to", "correlation": "re"}
):
    """One message and what is known about it.

    Attributes:
        id: unique within the sender's incarnation.
        kind: what it is for: a `Kind`, or a later version's word.
        recipient: name of the agent on the target node.
        sender: address of the agent that sent it, or None for a program outside any agent.
        correlation: for replies, errors, cancels: the id of what they answer.
        type: the message's wire name; empty for a plain JSON value.
        version: its version.
        body: its JSON; absent where the kind says it all.
        failure: the error that an ERROR envelope carries.
        hops: see `Headers`.
        chain: see `Headers`.
        credit: the number of chunks up to which the other side may go, counted from the first.
        attached: see `Headers`.
        reads: for asks: the version of the reply that the asker reads.
        budget: what the message may use up; None for no limit.
        spent: what an answer has used up; None where the question had no budget.
        key: see `Headers`.
    """

    id: str
    kind: str = Kind.TELL
    recipient: str = ""
    sender: str | None = None
    correlation: str | None = None
    type: str = ""
    version: int = 1
    body: msgspec.Raw = NOTHING
    failure: Failure | None = None
    hops: int = 0
    chain: tuple[tuple[str, str], ...] = ()
    credit: int = 0
    attached: bool = False
    reads: int = 1
    budget: Grant | None = None
    spent: Spent | None = None
    key: str | None = None


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Which piece of an envelope that is too large for one frame an item carries.

    Attributes:
        first: the sequence number of the item with the first piece; it stands for the whole.
        offset: bytes of the envelope in the pieces before.
        total: bytes of the whole envelope.
        checksum: its CRC-32.
    """

    first: int
    offset: int
    total: int
    checksum: int


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One numbered thing on a link.

    Attributes:
        sequence: from 1, without gaps, per direction.
        left: seconds until the envelope's deadline at the moment of *this* transmission (clocks differ); 0
            when it has passed; None without one.
        envelope: the encoded envelope; `NOTHING` where nothing is left to handle: an expired one on its
            second way, or receipts.
        receipts: runs `[first, last, outcome]` of the other direction's items, outcome as index of
            `OUTCOMES`.
        part: set if `envelope` is a piece of one, as a JSON string; `NOTHING` there ends the whole. Who knows
            no parts finds a string where an object should be, and dead-letters it: it misreads nothing.
    """

    sequence: int
    left: float | None = None
    envelope: msgspec.Raw = NOTHING
    receipts: tuple[tuple[int, int, int], ...] = ()
    part: Part | None = None


class Packet(
    msgspec.Struct, frozen=True, tag_field="agentbus", tag="link/1", rename={"source": "from", "target": "to"}
):
    """What one frame carries on one link.

    Attributes:
        source: who sends; the hub's stamp says which connection, this says which life.
        target: for whom it is; any other incarnation drops it.
        ack: every item of the other direction up to this sequence number has arrived.
        items: in order.
        gap: an item arrived whose predecessor is missing: send again from `ack` + 1.
        ping: nothing was to be said for a while; an ack is asked for as a sign of life.
    """

    source: Stamp
    target: Stamp
    ack: int = 0
    items: tuple[Item, ...] = ()
    gap: bool = False
    ping: bool = False


def encode_envelope(envelope: Envelope) -> bytes:
    """Give the JSON of an envelope; done once per message, however often it is sent."""
    return _encoder.encode(envelope)


_envelope_decoder = msgspec.json.Decoder(Envelope)


def decode_envelope(data: msgspec.Raw | bytes) -> Envelope:
    """Read an envelope.

    Raises:
        UndecodableMessageError: it is none.
    """
    try:
        return _envelope_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableMessageError(f"not an envelope: {error}") from None


def encode_body(value: Any) -> msgspec.Raw:
    """Give the JSON of a message or a plain reply.

    Raises:
        TypeError: the value has no JSON form.
    """
    return msgspec.Raw(_encoder.encode(value))
