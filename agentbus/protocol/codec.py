"""Frames to bytes and back.

The fast way is one msgspec call per frame. What it refuses goes the slow way (`verdicts`), which finds the
error code, or accepts what msgspec is too strict for. A payload crosses verbatim in both directions: decoding
keeps its bytes, encoding splices them.

Decoders check the *shape* of a frame, the first of the checks in spec section 8, and no more: length and
characters of a name are the caller's to check (`names`), and so is missing `data`, which a hub reports only
after name, reserved prefix, action and authorisation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, cast

import msgspec
from msgspec import Raw

from agentbus.errors import EncodeError, FrameDecodeError
from agentbus.protocol.codes import ErrorCode
from agentbus.protocol.fields import UNREADABLE, Payload, is_json, load
from agentbus.protocol.frames import ClientFrame, ServerFrame
from agentbus.protocol.names import MAX_REQUEST_ID_BYTES, check_channel, check_peer_id
from agentbus.protocol.verdicts import BAD_REQUEST_ID, is_request_id, judge_client_frame, judge_server_frame

_CLIENT: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)
_SERVER: msgspec.json.Decoder[ServerFrame] = msgspec.json.Decoder(ServerFrame)
read_server_text = _SERVER.decode
"""Read a frame that a hub sent, if nothing is wrong with it, from a text that is known to be valid UTF-8.

What it raises is one of `UNREADABLE`; `decode_server_frame` then says what is to be made of the frame.
"""
_encode = msgspec.json.Encoder().encode

_SURELY_SHORT = MAX_REQUEST_ID_BYTES // 4
"""Characters of a request id that needs no count: each has at most four bytes."""


# -- reading -----------------------------------------------------------------------------------------------


def decode_client_frame(payload: Payload) -> ClientFrame:
    """Read a frame that a client sent.

    Args:
        payload: one whole text message; it must not change while the frame lives.

    Returns:
        The frame. `data` of a `publish` or `send` is None where it is missing.

    Raises:
        FrameDecodeError: the only one. `code` is `malformed_message`, `unknown_type`, `invalid_channel` or
            `invalid_peer_id` (absent or not a string), `request_id` the frame's own where it is legal.
    """
    try:
        frame = _CLIENT.decode(payload)
        # msgspec skips what it does not convert, bad UTF-8 in `data` included, and subscribers would get it.
        if type(payload) is not bytes or not payload.isascii():
            str(payload, "utf-8")
    except UNREADABLE:
        frame = None
    if frame is None:
        return judge_client_frame(payload)
    request_id = frame.request_id
    if request_id is not None and len(request_id) > _SURELY_SHORT and not is_request_id(request_id):
        raise FrameDecodeError(ErrorCode.MALFORMED_MESSAGE, BAD_REQUEST_ID)
    return frame


def decode_server_frame(payload: Payload) -> ServerFrame:
    """Read a frame that a hub sent, checked as a client owes it (spec section 3).

    An optional field that is unusable reads as absent; any other makes the frame unusable.

    Args:
        payload: one whole text message; it must not change while the frame lives.

    Raises:
        FrameDecodeError: the only one: drop the frame and log it. Text of the hub's is not in it.
    """
    try:
        frame = read_server_text(payload)
        if type(payload) is not bytes or not payload.isascii():
            str(payload, "utf-8")
    except UNREADABLE:
        frame = None
    return judge_server_frame(payload) if frame is None else frame


def decode_data(text: Payload | Raw) -> Any:
    """Read a payload into plain Python data; lone surrogates survive.

    Raises:
        FrameDecodeError: it is no JSON, or nested deeper or with longer numbers than Python reads.
    """
    readable, value = load(bytes(text))
    if not readable:
        raise FrameDecodeError(ErrorCode.MALFORMED_MESSAGE, "the payload cannot be read")
    return value


def decode_object(text: Payload | Raw | None) -> dict[str, Any] | None:
    """Read a peer's metadata; None where it is absent or no object. Raises nothing."""
    _readable, value = (False, None) if text is None else load(bytes(text))
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


# -- writing -----------------------------------------------------------------------------------------------


def encode(frame: ClientFrame | ServerFrame) -> bytes:
    """Write any frame.

    Raises:
        EncodeError: a field has no JSON form.
    """
    try:
        return _encode(frame)
    except _UNWRITABLE as error:
        raise EncodeError(_unwritable(error)) from error


def encode_data(value: Any) -> bytes:
    """Write a payload as JSON: anything msgspec can, or `msgspec.Raw` for bytes that are JSON already.

    NaN and the infinities, which JSON cannot say, become `null`.

    Raises:
        EncodeError: it has no JSON form; it is nested too deeply; a `Raw` holds something that is not JSON.
    """
    if isinstance(value, Raw):
        text = bytes(value)
        if not is_json(text):
            raise EncodeError("the bytes of this msgspec.Raw are not one JSON value in UTF-8")
        return text
    try:
        return _encode(value)
    except _UNWRITABLE as error:
        raise EncodeError(_unwritable(error)) from error


_UNWRITABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)


def _unwritable(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "no JSON form: a string holds half a surrogate pair, which UTF-8 cannot say"
    if isinstance(error, RecursionError):
        return "no JSON form: it is nested too deeply, or in a circle"
    return f"no JSON form: {error}"


# A client's requests are put together from a head, a payload that is JSON already, and a tail.

REMEMBERED_NAMES: Final = 1024
"""Names whose check and quoting are remembered, of channels and of peers; the least used one is forgotten."""

ACK_HEAD: Final = b'{"type":"ack"'
"""How an `ack` begins; it goes on, and ends, with the tail of its request."""

NO_ACK_TAIL: Final = b"}"
"""The tail of a request that asks for no ack."""


@lru_cache(REMEMBERED_NAMES)
def publish_head(channel: str) -> bytes:
    """Write a `publish` as far as its payload.

    Raises:
        InvalidNameError: that is no name of a channel.
        TypeError: it can't even be looked up.
    """
    check_channel(channel)
    return b'{"type":"publish","channel":' + _encode(channel) + b',"data":'


@lru_cache(REMEMBERED_NAMES)
def send_head(to: str) -> bytes:
    """Write a `send` as far as its payload.

    Raises:
        InvalidNameError: that is no peer id.
        TypeError: it can't even be looked up.
    """
    check_peer_id(to)
    return b'{"type":"send","to":' + _encode(to) + b',"data":'


def frame_head(frame: ClientFrame) -> bytes:
    """Write a frame that has no request id as far as the tail that gives it one."""
    return encode(frame)[:-1]


def named_head(head: bytes, message_id: str) -> bytes:
    """Give the head of a `publish` or `send` the id of its message, which is plain ASCII without quotes."""
    return b'{"id":"%b",%b' % (message_id.encode(), head[1:])


def request_tail(request_id: str) -> bytes:
    """Write the end of a request that asks for an ack, which ends in the same way."""
    return b',"requestId":' + _encode(request_id) + b"}"


# The functions below trust their caller: names are checked, payloads are JSON.


def encode_message(
    channel: str,
    sender: str,
    data: Raw | bytes,
    sender_metadata: Raw | bytes | None = None,
    offset: int | None = None,
) -> bytes:
    """Write a `message` once for all its subscribers; the payload goes in byte for byte."""
    end = b"}" if sender_metadata is None else b"".join((b',"fromMetadata":', sender_metadata, b"}"))
    if offset is not None:
        end = b'%b,"offset":%d}' % (end[:-1], offset)
    return b"".join(
        (
            b'{"type":"message","channel":',
            _encode(channel),
            b',"from":',
            _encode(sender),
            b',"data":',
            data,
            end,
        )
    )


def encode_direct(
    sender: str,
    data: Raw | bytes,
    sender_metadata: Raw | bytes | None = None,
    offset: int | None = None,
) -> bytes:
    """Write a `direct` once for all connections of its peer; the payload goes in byte for byte."""
    end = b"}" if sender_metadata is None else b"".join((b',"fromMetadata":', sender_metadata, b"}"))
    if offset is not None:
        end = b'%b,"offset":%d}' % (end[:-1], offset)
    return b"".join((b'{"type":"direct","from":', _encode(sender), b',"data":', data, end))


def encode_ack(request_id: str) -> bytes:
    """Write an `ack`: preformed bytes around the request id."""
    return b'{"type":"ack","requestId":' + _encode(request_id) + b"}"
