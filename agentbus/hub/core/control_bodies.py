"""What the control plane reads and answers, in the names of spec section 8, *REST control plane*."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from agentbus.hub.core.commands import Command
from agentbus.hub.core.config import ALL_ACTIONS, Action
from agentbus.protocol import PresencePeer
from agentbus.protocol.fields import UNREADABLE, join_fields, split_fields

MAX_BODY_BYTES = 32 * 1024
MAX_CHANNELS = 100
MAX_PERMISSIONS = 16
DEFAULT_LIFETIME = 3600  # seconds
MAX_LIFETIME = 86_400
DEFAULT_SENDER = "system"

_Lifetime = Annotated[int, Meta(ge=1, le=MAX_LIFETIME)]


class TokenBody(Struct, frozen=True, rename="camel"):
    """What `POST /v1/tokens` reads; what is left out is all that the key grants, or nothing.

    Attributes:
        peer_id: 1 to 128 printable ASCII characters.
        channels: patterns.
        permissions: actions.
        expires_in_sec: seconds.
        metadata: a JSON object for the peer's own welcome.
        peer_metadata: a JSON object that others see.
    """

    peer_id: str
    channels: Annotated[tuple[str, ...], Meta(max_length=MAX_CHANNELS)] | msgspec.UnsetType = msgspec.UNSET
    permissions: Annotated[tuple[Action, ...], Meta(max_length=MAX_PERMISSIONS)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    expires_in_sec: _Lifetime = DEFAULT_LIFETIME
    metadata: Raw = Raw()
    peer_metadata: Raw = Raw()


class PublishBody(Struct, frozen=True, rename={"sender": "from", "peer_metadata": "peerMetadata"}):
    """What `POST /v1/channels/{channel}/publish` reads; `data` of no bytes is missing."""

    data: Raw = Raw()
    sender: str = DEFAULT_SENDER
    peer_metadata: Raw = Raw()


class TokenAnswer(Struct, frozen=True, rename="camel"):
    """A signed token, and when it expires in Unix seconds."""

    token: str
    expires_at: int


class PeersAnswer(Struct, frozen=True):
    """Who is in a channel, in the order of joining."""

    channel: str
    peers: list[PresencePeer]


class PublishAnswer(Struct, frozen=True):
    """To how many connections a message was handed."""

    channel: str
    delivered: int


class KickAnswer(Struct, frozen=True, rename="camel"):
    """How many connections of a peer were closed."""

    peer_id: str
    closed: int


class ErrorAnswer(Struct, frozen=True):
    """Why a call was refused: a code for programs, words for people."""

    error: str
    message: str


class Answer(Struct, frozen=True):
    """How a call ends.

    Attributes:
        status: of HTTP.
        body: one of the structs above, or the app's usage.
        commands: what the shell does before it answers.
        retry_after: seconds after which another try makes sense.
    """

    status: int
    body: Any
    commands: list[Command] = []
    retry_after: float | None = None

    @property
    def error(self) -> str | None:
        """The error's code; None for success."""
        return self.body.error if isinstance(self.body, ErrorAnswer) else None


def refuse(status: int, code: str, text: str, retry_after: float | None = None) -> Answer:
    """Make the answer to a call that is not carried out."""
    return Answer(status, ErrorAnswer(code, text), retry_after=retry_after)


def invalid(text: str) -> Answer:
    """Make the answer to a request that makes no sense."""
    return refuse(400, "invalid_request", text)


Body = TypeVar("Body", TokenBody, PublishBody)


def read_body(body: bytes, kind: type[Body]) -> Body | Answer:
    """Read a request's body: one JSON object in UTF-8, unknown members ignored, payloads byte for byte."""
    try:
        fields = split_fields(body.decode())
    except UnicodeDecodeError:
        fields = None
    if fields is None:
        return invalid("the body must be one JSON object in UTF-8")
    known = msgspec.structs.fields(kind)
    payloads = {
        field.name: Raw(fields.pop(field.encode_name))
        for field in known
        if field.type is Raw and field.encode_name in fields
    }
    rest = {field.encode_name: fields[field.encode_name] for field in known if field.encode_name in fields}
    try:
        read = msgspec.json.decode(join_fields(rest), type=kind)
    except UNREADABLE as error:
        return invalid(_problem(error))
    return msgspec.structs.replace(read, **payloads)


def _problem(error: Exception) -> str:
    """Say what is wrong with a body, never its value."""
    if not isinstance(error, msgspec.ValidationError):
        return "a member of the body holds text that UTF-8 cannot say"
    text = str(error)
    if text.startswith("Invalid enum value"):
        return f"permissions: each must be one of {', '.join(sorted(ALL_ACTIONS))}"
    problem, _, place = text.partition(" - at `$.")
    return f"{place.rstrip('`')}: {problem}" if place else problem
