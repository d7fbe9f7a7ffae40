from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from agentbus.errors import EncodeError, FrameDecodeError, InvalidNameError
from agentbus.protocol import (
    Ack,
    ClientFrame,
    DirectFrame,
    ErrorFrame,
    MessageFrame,
    Ping,
    Publish,
    Send,
    Subscribe,
    Unsubscribe,
    decode_client_frame,
    decode_data,
    decode_object,
    decode_server_frame,
    encode,
    encode_ack,
    encode_data,
    encode_direct,
    encode_message,
    frame_head,
    publish_head,
    request_tail,
    send_head,
)
from agentbus.protocol.codec import ACK_HEAD, NO_ACK_TAIL

names = st.text(min_size=1, max_size=20)
legal_names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """JSON in the ways that publishers write it: blanks, escapes, odd numbers."""
    value = draw(json_values.filter(lambda value: "inf" not in repr(value)))
    indent = draw(st.sampled_from([None, 0, 3]))
    return json.dumps(value, indent=indent, ensure_ascii=draw(st.booleans())).encode()


ODD = [
    b"null",
    b"1e999",
    b"-0.0",
    b"1E+2",
    b'{ "b" : 1 ,\n "a" :\t2 , "a" : 3 }',
    b'"\\u0041\\/\\ud83d\\ude00"',
    b'"\\ud800 alone"',
    b"9" * 5000,
    '"\u2028 é 😀"'.encode(),
    b"[" * 100 + b"]" * 100,
    b'"}"',
    b'{"type":"ping"}',
]


# -- payloads, byte for byte -------------------------------------------------------------------------------


@given(channel=legal_names, sender=legal_names, payload=payloads(), request_id=names)
def test_a_payload_crosses_byte_for_byte(channel: str, sender: str, payload: bytes, request_id: str) -> None:
    crosses(channel, sender, payload, request_id)


@pytest.mark.parametrize("payload", ODD)
def test_an_odd_payload_crosses_byte_for_byte(payload: bytes) -> None:
    crosses("a", "p", payload, "1")


def crosses(channel: str, sender: str, payload: bytes, request_id: str) -> None:
    published = decode_client_frame(publish_head(channel) + payload + request_tail(request_id))
    assert published == Publish(channel, Raw(payload), request_id)
    sent = decode_client_frame(send_head(sender) + payload + NO_ACK_TAIL)
    assert isinstance(published, Publish)
    assert isinstance(sent, Send)
    assert published.data is not None
    assert sent.data is not None
    message = decode_server_frame(encode_message(channel, sender, published.data))
    assert isinstance(message, MessageFrame)
    assert (message.channel, message.sender, bytes(message.data)) == (channel, sender, payload)
    direct = decode_server_frame(encode_direct(sender, sent.data, Raw(b'{"n":1}')))
    assert direct == DirectFrame(sender, Raw(payload), Raw(b'{"n":1}'))


def test_blanks_around_a_payload_belong_to_the_frame() -> None:
    frame = decode_client_frame(b' { "data" : [ 1,\t2 ] \n, "type":"publish", "channel" : "a" } ')
    assert frame == Publish("a", Raw(b"[ 1,\t2 ]"))


def test_null_is_data_and_nothing_is_not() -> None:
    assert decode_client_frame(b'{"type":"publish","channel":"a","data":null}') == Publish("a", Raw(b"null"))
    assert decode_client_frame(b'{"type":"publish","channel":"a"}') == Publish("a", None)
    assert decode_client_frame(b'{"type":"send","to":"p"}') == Send("p", None)


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_every_kind_of_buffer_is_read(make: Any) -> None:
    text = '{"type":"publish","channel":"é","data":"\\ud800"}'.encode()
    assert decode_client_frame(make(text)) == Publish("é", Raw(b'"\\ud800"'))
    assert decode_server_frame(make(b'{"type":"ack","requestId":"1"}')) == Ack("1")


# -- spliced and general encoders agree --------------------------------------------------------------------


@given(first=legal_names, payload=payloads(), request_id=names)
def test_a_head_a_payload_and_a_tail_are_what_the_general_encoder_writes(
    first: str, payload: bytes, request_id: str
) -> None:
    tail, raw = request_tail(request_id), Raw(payload)
    assert publish_head(first) + payload + tail == encode(Publish(first, raw, request_id))
    assert send_head(first) + payload + tail == encode(Send(first, raw, request_id))
    assert send_head(first) + payload + NO_ACK_TAIL == encode(Send(first, raw))
    assert ACK_HEAD + tail == encode(Ack(request_id)) == encode_ack(request_id)
    for frame in (Subscribe(first, True), Unsubscribe(first)):  # noqa: FBT003 -- its fields, in order
        assert decode_client_frame(frame_head(frame) + tail) == named(frame, request_id)


def named(frame: ClientFrame, request_id: str) -> ClientFrame:
    return msgspec.structs.replace(frame, request_id=request_id)


@pytest.mark.parametrize("head", [publish_head, send_head])
def test_a_head_is_written_for_a_legal_name_alone(head: Any) -> None:
    for name in ("", "a\n", "x" * 257, 7):
        for _ in range(2):  # no refusal is remembered as a name
            with pytest.raises(InvalidNameError):
                head(name)


@given(first=names, second=names, payload=payloads(), other=st.none() | names)
def test_spliced_frames_are_what_the_general_encoder_writes(
    first: str, second: str, payload: bytes, other: str | None
) -> None:
    raw = Raw(payload)
    metadata = None if other is None else Raw(msgspec.json.encode({"n": other}))
    assert encode_message(first, second, raw, metadata) == encode(MessageFrame(first, second, raw, metadata))
    assert encode_direct(first, raw, metadata) == encode(DirectFrame(first, raw, metadata))
    assert encode_ack(first) == encode(Ack(first))


def test_encode_refuses_what_utf8_cannot_say() -> None:
    with pytest.raises(EncodeError, match="surrogate"):
        encode(ErrorFrame("missing_data", message="\ud800"))


# -- data in and out ---------------------------------------------------------------------------------------


class Point(msgspec.Struct):
    x: int


@dataclass
class Pair:
    left: int
    right: str


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, b"null"),
        ({"a": [1, 2.5, True]}, b'{"a":[1,2.5,true]}'),
        (Point(3), b'{"x":3}'),
        (Pair(1, "b"), b'{"left":1,"right":"b"}'),
        (datetime(2026, 1, 2, tzinfo=UTC), b'"2026-01-02T00:00:00Z"'),
        (Raw(b'{ "kept" : 1 }'), b'{ "kept" : 1 }'),
        (Raw(b'"\\ud800"'), b'"\\ud800"'),
        ({"nested": Raw(b"[ 1 ]")}, b'{"nested":[ 1 ]}'),
        (10**40, b"1" + b"0" * 40),
        (math.nan, b"null"),
        ([math.inf, -math.inf], b"[null,null]"),
    ],
)
def test_data_is_written(value: object, text: bytes) -> None:
    assert encode_data(value) == text


def circle() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, object()},
        {(1, 2): 3},
        "\ud800",
        {"\udfff": 1},
        circle(),
        Raw(b""),
        Raw(b"{"),
        Raw(b"NaN"),
        Raw(b'"\xff"'),
        Raw(b"1 2"),
        Raw(b"[" * 100_000 + b"]" * 100_000),
        lambda: None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_data_without_a_json_form_is_one_typed_error(value: object) -> None:
    with pytest.raises(EncodeError):
        encode_data(value)


def test_data_is_read_back() -> None:
    assert decode_data(b'{"a":[1,null,"x"]}') == {"a": [1, None, "x"]}
    assert decode_data(Raw(b'"\\ud83d alone"')) == "\ud83d alone"
    assert decode_data(b"1e999") == math.inf


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b'"\xff"', b"9" * 5000, b"[" * 100_000, b"1 2"])
def test_data_that_cannot_be_read_is_one_typed_error(text: bytes) -> None:
    with pytest.raises(FrameDecodeError):
        decode_data(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (None, None),
        (Raw(b'{"name":"x"}'), {"name": "x"}),
        (b'{"name":"\\ud83d"}', {"name": "\ud83d"}),
        (b"null", None),
        (b"[1]", None),
        (b"{", None),
        (b"\xff", None),
    ],
)
def test_metadata_is_an_object_or_absent(text: Any, value: object) -> None:
    assert decode_object(text) == value


def test_request_ids_count_bytes() -> None:
    assert decode_client_frame(encode(Ping("é" * 64))) == Ping("é" * 64)
    assert decode_client_frame(encode(Ping("x" * 128))) == Ping("x" * 128)
    for longer in ("é" * 64 + "x", "x" * 129, "😀" * 33):
        with pytest.raises(FrameDecodeError) as caught:
            decode_client_frame(encode(Ping(longer)))
        assert (caught.value.code, caught.value.request_id) == ("malformed_message", None)
