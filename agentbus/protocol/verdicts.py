"""The slow way to read a frame, taken where the fast way found something that it does not take.

Most often the verdict is a refusal, with the error code and the request id that one typed decode cannot tell.
Sometimes it is a frame after all: equal keys of which the last wins, a lone surrogate inside a payload; and,
in what a hub says, a lone surrogate anywhere, or an optional field that is unusable and reads as absent.
"""

from __future__ import annotations

from typing import Any, NamedTuple, get_args

import msgspec
from msgspec import Raw
from msgspec.structs import fields as struct_fields
from msgspec.structs import replace

from agentbus.errors import FrameDecodeError
from agentbus.protocol.codes import ErrorCode
from agentbus.protocol.fields import UNREADABLE, Fields, Payload, join_fields, mend, read_string, split_fields
from agentbus.protocol.frames import ClientFrame, Frame, ServerFrame
from agentbus.protocol.names import MAX_REQUEST_ID_BYTES

BAD_REQUEST_ID = f"requestId must be a string of 1 to {MAX_REQUEST_ID_BYTES} bytes of UTF-8"


class _Shape(NamedTuple):
    """What the wire knows of one frame type."""

    decoder: msgspec.json.Decoder[Any]
    names: tuple[str, ...]
    optional: dict[str, msgspec.json.Decoder[Any]]
    payloads: dict[str, str]


def _shape(cls: type[Frame]) -> _Shape:
    known = struct_fields(cls)
    payloads = {field.encode_name: field.name for field in known if field.type is Raw}
    optional = {
        field.encode_name: msgspec.json.Decoder(field.type)
        for field in known
        if not field.required and field.encode_name not in payloads
    }
    names = ("type", *(field.encode_name for field in known))
    return _Shape(msgspec.json.Decoder(cls), names, optional, payloads)


def _shapes(union: Any) -> dict[str, _Shape]:
    return {cls.__struct_config__.tag: _shape(cls) for cls in get_args(union)}


_CLIENT = _shapes(ClientFrame)
_SERVER = _shapes(ServerFrame)
_NAMES = {"channel": ErrorCode.INVALID_CHANNEL, "to": ErrorCode.INVALID_PEER_ID}


def judge_client_frame(payload: Payload) -> ClientFrame:
    """Read a client's frame the slow way, in the order of spec section 8: shape first, then names.

    Raises:
        FrameDecodeError: with the code and, where it is legal, the request id to answer with.
    """
    fields = _object(payload)
    request_id = read_string(fields.get("requestId"))
    request_id = request_id if is_request_id(request_id) else None
    kind = _type(fields, request_id)
    if "requestId" in fields and request_id is None:
        raise FrameDecodeError(ErrorCode.MALFORMED_MESSAGE, BAD_REQUEST_ID)
    shape = _CLIENT.get(kind)
    if shape is None:
        raise FrameDecodeError(ErrorCode.UNKNOWN_TYPE, "clients send no frame of this type", request_id)
    for name, decoder in shape.optional.items():
        if name in fields and not _reads(decoder, fields[name]):
            raise FrameDecodeError(ErrorCode.MALFORMED_MESSAGE, f"{name} has the wrong type", request_id)
    for name, code in _NAMES.items():
        if name in shape.names and read_string(fields.get(name)) is None:
            raise FrameDecodeError(code, f"{name} must be a string", request_id)
    frame: ClientFrame = _build(shape, fields)
    return frame


def judge_server_frame(payload: Payload) -> ServerFrame:
    """Read a hub's frame the slow way.

    Raises:
        FrameDecodeError: a field that may not be absent is absent or unusable, or the type is unknown.
    """
    fields = _object(payload)
    shape = _SERVER.get(_type(fields, None))
    if shape is None:
        raise FrameDecodeError(ErrorCode.UNKNOWN_TYPE, "hubs send no frame of this type")
    fields = {name: text if name in shape.payloads else mend(text) for name, text in fields.items()}
    for name, decoder in shape.optional.items():
        if name in fields and not _reads(decoder, fields[name]):
            del fields[name]
    frame: ServerFrame = _build(shape, fields)
    return frame


def is_request_id(text: str | None) -> bool:
    """Tell whether this is a legal request id: 1 to 128 bytes of UTF-8 (spec section 2)."""
    return text is not None and 0 < len(text.encode()) <= MAX_REQUEST_ID_BYTES


def _object(payload: Payload) -> Fields:
    try:
        fields = split_fields(str(payload, "utf-8"))
    except UnicodeDecodeError:
        fields = None
    if fields is None:
        raise FrameDecodeError(ErrorCode.MALFORMED_MESSAGE, "it is not a JSON object in UTF-8")
    return fields


def _type(fields: Fields, request_id: str | None) -> str:
    text = fields.get("type", b"")
    if not text.startswith(b'"'):
        raise FrameDecodeError(ErrorCode.MALFORMED_MESSAGE, "it has no string type", request_id)
    return read_string(text) or ""


def _reads(decoder: msgspec.json.Decoder[Any], text: bytes) -> bool:
    try:
        decoder.decode(text)
    except UNREADABLE:
        return False
    return True


def _build(shape: _Shape, fields: Fields) -> Any:
    """Decode the members that the type knows; payloads go around msgspec, which would look inside them."""
    known = {name: fields[name] for name in shape.names if name in fields}
    payloads = {shape.payloads[name]: Raw(text) for name, text in known.items() if name in shape.payloads}
    without = {name: b"null" if name in shape.payloads else text for name, text in known.items()}
    try:
        frame = shape.decoder.decode(join_fields(without))
    except UNREADABLE:
        frame = None
    if frame is None:
        raise FrameDecodeError(ErrorCode.MALFORMED_MESSAGE, "a field is missing or unusable")
    return replace(frame, **payloads)
