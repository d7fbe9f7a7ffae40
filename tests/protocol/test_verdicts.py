"""What the decoders say about frames that they do not take as they are."""

from __future__ import annotations

import pytest
from msgspec import Raw

from agentbus.errors import FrameDecodeError
from agentbus.protocol import (
    ErrorFrame,
    GoingAway,
    MessageFrame,
    Ping,
    Pong,
    PresenceFrame,
    PresencePeer,
    Publish,
    Subscribe,
    Unsubscribe,
    Welcome,
    decode_client_frame,
    decode_server_frame,
)
from agentbus.protocol.fields import MOST_MEMBERS

DEEP = b"[" * 100_000 + b"]" * 100_000


def refusal(payload: bytes) -> tuple[str, str | None]:
    with pytest.raises(FrameDecodeError) as caught:
        decode_client_frame(payload)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value.code, caught.value.request_id


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"\xff\xfe",
        b"\xef\xbb\xbf" + b'{"type":"ping"}',
        b"nonsense",
        b"NaN",
        b"null",
        b"7",
        b'"ping"',
        b"[]",
        b'[{"type":"ping"}]',
        b"{}",
        b"{",
        b'{"type":"ping"',
        b'{"type":"ping"} {}',
        b'{"type":"ping",}',
        b'{"type":"ping" "a":1}',
        b'{"type":"ping","a":"\\ud800",}',
        b'{"type":"ping","a":"\\ud800"} x',
        b'{"type":"ping","a":"\\ud800","b"}',
        b'{7:1,"a":"\\ud800"}',
        b"{'type':'ping'}",
        b'{"type":null}',
        b'{"type":7}',
        b'{"type":["ping"]}',
        b'{"Type":"ping"}',
        b'{"type":"ping","a":NaN}',
        b'{"type":"ping","a":-Infinity,"b":"\\ud800"}',
        b'{"type":"ping","a":01}',
        b'{"type":"ping","a":"\n"}',
        b'{"type":"ping","a":' + DEEP + b"}",
        b'{"type":"publish","channel":"a","data":' + DEEP + b"}",
        DEEP,
        b'{"type":"publish","channel":"a","data":"\xff"}',
        b'{"type":"publish","channel":"a","data":"\xed\xa0\x80"}',
        b'{"type":"publish","channel":"a","data":1,"x\xff":2}',
    ],
    ids=lambda payload: repr(payload[:30]),
)
def test_what_is_no_frame_is_malformed(payload: bytes) -> None:
    assert refusal(payload) == ("malformed_message", None)


@pytest.mark.parametrize(
    "request_id", [b'""', b"null", b"7", b"true", b'["1"]', b'"' + b"x" * 129 + b'"', b'"\\ud800"']
)
@pytest.mark.parametrize("rest", [b'"type":"ping"', b'"type":"publish","data":1', b'"type":"nonsense"'])
def test_a_bad_request_id_is_malformed_before_anything_else(request_id: bytes, rest: bytes) -> None:
    assert refusal(b'{"requestId":' + request_id + b"," + rest + b"}") == ("malformed_message", None)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        (b'"type":"nonsense"', "unknown_type"),
        (b'"type":""', "unknown_type"),
        (b'"type":"\\ud800"', "unknown_type"),
        (b'"type":"welcome"', "unknown_type"),
        (b'"type":"Publish"', "unknown_type"),
        (b'"type":7', "malformed_message"),
        (b'"a":1', "malformed_message"),
        (b'"type":"subscribe"', "invalid_channel"),
        (b'"type":"subscribe","channel":null', "invalid_channel"),
        (b'"type":"unsubscribe","channel":["a"]', "invalid_channel"),
        (b'"type":"publish"', "invalid_channel"),
        (b'"type":"publish","data":1', "invalid_channel"),
        (b'"type":"publish","channel":"\\udc00","data":1', "invalid_channel"),
        (b'"type":"send"', "invalid_peer_id"),
        (b'"type":"send","to":7,"data":1', "invalid_peer_id"),
        (b'"type":"send","channel":"a","data":1', "invalid_peer_id"),
        (b'"type":"subscribe","channel":"a","includeSenderMetadata":1', "malformed_message"),
        (b'"type":"subscribe","channel":"a","includeSenderMetadata":null', "malformed_message"),
        (b'"type":"subscribe","channel":7,"includeSenderMetadata":"yes"', "malformed_message"),
        (b'"type":"subscribe","channel":"a","recover":1', "malformed_message"),
        (b'"type":"subscribe","channel":"a","since":null', "malformed_message"),
        (b'"type":"subscribe","channel":"a","since":{"epoch":"e"}', "malformed_message"),
        (b'"type":"subscribe","channel":"a","since":{"epoch":"","offset":1}', "malformed_message"),
        (b'"type":"subscribe","channel":"a","since":{"epoch":"e","offset":-1}', "malformed_message"),
        (b'"type":"subscribe","channel":"a","since":{"epoch":"e","offset":1.5}', "malformed_message"),
        (b'"type":"subscribe","channel":"a","producer":""', "malformed_message"),
        (b'"type":"publish","channel":"a","data":1,"id":""', "malformed_message"),
        (b'"type":"send","to":"a","data":1,"id":"' + b"x" * 65 + b'"', "malformed_message"),
        (b'"type":"publish","channel":7,"id":1', "malformed_message"),
    ],
)
def test_a_refusal_names_its_code_and_its_request(members: bytes, code: str) -> None:
    assert refusal(b"{" + members + b"}") == (code, None)
    assert refusal(b"{" + members + b',"requestId":"r-1"}') == (code, "r-1")
    assert refusal(b'{"requestId":"r-1",' + members + b"}") == (code, "r-1")


def test_unknown_fields_are_ignored() -> None:
    extra = b'"x":{"y":[1]},"data":[0],"to":7,"includeSenderMetadata":"?","position":null'
    assert decode_client_frame(b'{"type":"unsubscribe","channel":"a",' + extra + b"}") == Unsubscribe("a")
    assert decode_client_frame(b'{"type":"ping","a":"\\ud800","b":' + b"9" * 5000 + b"}") == Ping()
    assert decode_client_frame(b'{"":0,"type":"subscribe","channel":"a","recovered":1}') == Subscribe("a")


def test_the_last_of_equal_members_wins() -> None:
    assert decode_client_frame(b'{"type":"subscribe","type":"ping"}') == Ping()
    assert decode_client_frame(b'{"type":7,"type":"ping"}') == Ping()
    assert decode_client_frame(b'{"requestId":"","type":"ping","requestId":"2"}') == Ping("2")
    frame = decode_client_frame(b'{"channel":"a","data":1,"type":"publish","channel":"b","data":2}')
    assert frame == Publish("b", Raw(b"2"))


def test_a_type_spelled_with_escapes_is_that_type() -> None:
    assert decode_client_frame(b'{"\\u0074ype":"p\\u0069ng"}') == Ping()


def test_a_refusal_repeats_nothing_of_the_frame() -> None:
    with pytest.raises(FrameDecodeError) as caught:
        decode_client_frame(b'{"type":"secret-word","channel":"secret-word"}')
    assert "secret-word" not in str(caught.value)


# -- the client's side -------------------------------------------------------------------------------------

WELCOME = b'{"type":"welcome","peerId":"p","expiresAt":null,"serverTime":1,"maxMessageSize":2'


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "malformed_message"),
        (b"[]", "malformed_message"),
        (b"\xff", "malformed_message"),
        (DEEP, "malformed_message"),
        (b'{"type":7}', "malformed_message"),
        (b'{"type":"publish","channel":"a","data":1}', "unknown_type"),
        (b'{"type":"hello"}', "unknown_type"),
        (b'{"type":"welcome","expiresAt":null,"serverTime":1,"maxMessageSize":2}', "malformed_message"),
        (
            b'{"type":"welcome","peerId":7,"expiresAt":null,"serverTime":1,"maxMessageSize":2}',
            "malformed_message",
        ),
        (b'{"type":"welcome","peerId":"p","serverTime":1,"maxMessageSize":2}', "malformed_message"),
        (
            b'{"type":"welcome","peerId":"p","expiresAt":"1","serverTime":1,"maxMessageSize":2}',
            "malformed_message",
        ),
        (b'{"type":"welcome","peerId":"p","expiresAt":null,"maxMessageSize":2}', "malformed_message"),
        (
            b'{"type":"welcome","peerId":"p","expiresAt":null,"serverTime":1e999,"maxMessageSize":2}',
            "malformed_message",
        ),
        (
            b'{"type":"welcome","peerId":"p","expiresAt":null,"serverTime":1,"maxMessageSize":0}',
            "malformed_message",
        ),
        (
            b'{"type":"welcome","peerId":"p","expiresAt":null,"serverTime":1,"maxMessageSize":true}',
            "malformed_message",
        ),
        (b'{"type":"ack"}', "malformed_message"),
        (b'{"type":"ack","requestId":7}', "malformed_message"),
        (b'{"type":"error"}', "malformed_message"),
        (b'{"type":"error","code":""}', "malformed_message"),
        (b'{"type":"message","channel":"a","from":"p"}', "malformed_message"),
        (b'{"type":"message","from":"p","data":1}', "malformed_message"),
        (b'{"type":"message","channel":"a","data":1}', "malformed_message"),
        (b'{"type":"direct","from":"p"}', "malformed_message"),
        (b'{"type":"direct","from":"p","data":"\xff"}', "malformed_message"),
        (b'{"type":"presence","channel":"a","joined":[]}', "malformed_message"),
        (b'{"type":"presence","channel":"a","left":[]}', "malformed_message"),
        (b'{"type":"presence","joined":[],"left":[]}', "malformed_message"),
        (b'{"type":"presence","channel":"a","joined":[{}],"left":[]}', "malformed_message"),
        (b'{"type":"presence","channel":"a","joined":["p"],"left":[]}', "malformed_message"),
        (b'{"type":"presence","channel":"a","joined":null,"left":[]}', "malformed_message"),
    ],
    ids=lambda value: repr(value[:80]),
)
def test_what_a_client_cannot_use_is_one_typed_error(payload: bytes, code: str) -> None:
    with pytest.raises(FrameDecodeError) as caught:
        decode_server_frame(payload)
    assert caught.value.code == code
    assert caught.value.__context__ is None


def test_an_optional_field_that_is_unusable_reads_as_absent() -> None:
    plain = Welcome("p", None, 1, 2)
    for extra in (
        b'"metadata":7',
        b'"metadata":null',
        b'"extensions":"x"',
        b'"metadata":{"a":' + b"9" * 5000 + b"}",
    ):
        assert decode_server_frame(WELCOME + b"," + extra + b"}") == plain
    assert decode_server_frame(WELCOME + b',"extensions":["a"],"metadata":[]}') == Welcome(
        "p", None, 1, 2, extensions=("a",)
    )
    assert decode_server_frame(b'{"type":"error","code":"c","requestId":7,"message":[]}') == ErrorFrame("c")
    assert decode_server_frame(b'{"type":"pong","requestId":7}') == Pong()
    assert decode_server_frame(b'{"type":"going_away","retryAfterMs":"soon"}') == GoingAway(1000)
    assert decode_server_frame(b'{"type":"going_away","retryAfterMs":1e999}') == GoingAway(1000)


def test_a_lone_surrogate_costs_no_frame() -> None:
    message = decode_server_frame(
        b'{"type":"message","channel":"a","from":"p","data":"\\ud83d","fromMetadata":{"n":"\\ud83d"}}'
    )
    assert message == MessageFrame("a", "p", Raw(b'"\\ud83d"'), Raw(b'{"n":"\\ud83d"}'))
    presence = decode_server_frame(
        b'{"type":"presence","channel":"a","left":[],'
        b'"joined":[{"peerId":"p","metadata":{"n":"\\\\ud83d \\ud83d \\ud83d\\ude00 \\udE00"}}]}'
    )
    mended = Raw(b'{"n":"\\\\ud83d \\ufffd \\ud83d\\ude00 \\ufffd"}')
    assert presence == PresenceFrame("a", (PresencePeer("p", mended),), ())
    error = decode_server_frame(b'{"type":"error","code":"c","message":"half \\ud83d"}')
    assert error == ErrorFrame("c", None, "half \ufffd")


def test_unknown_error_codes_pass_through() -> None:
    assert decode_server_frame(b'{"type":"error","code":"out_of_tea"}') == ErrorFrame("out_of_tea")


@pytest.mark.parametrize("extra", [0, 1])
def test_an_unusual_frame_of_very_many_members_is_refused_before_they_are_read(extra: int) -> None:
    """Reading 13 000 members of one frame the slow way takes 40 ms: three such frames a second hurt a hub."""
    known = rb'"type":"publish","channel":"a","data":"\ud83d"'
    unknown = b"".join(b',"x%d":1' % number for number in range(MOST_MEMBERS - 3 + extra))
    if extra:
        assert refusal(b"{" + known + unknown + b"}") == ("malformed_message", None)
    else:
        assert decode_client_frame(b"{" + known + unknown + b"}") == Publish("a", Raw(rb'"\ud83d"'))
