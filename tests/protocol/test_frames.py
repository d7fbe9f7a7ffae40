from __future__ import annotations

import json
from typing import Any, cast

import pytest
from msgspec import Raw

from agentbus.protocol import (
    Ack,
    ClientFrame,
    DirectFrame,
    ErrorFrame,
    GoingAway,
    MessageFrame,
    Ping,
    Pong,
    PresenceFrame,
    PresencePeer,
    Publish,
    Send,
    ServerFrame,
    Subscribe,
    Unsubscribe,
    Welcome,
    decode_client_frame,
    decode_server_frame,
    encode,
)

CLIENT: list[tuple[ClientFrame, dict[str, Any]]] = [
    (Subscribe("a"), {"type": "subscribe", "channel": "a"}),
    (
        Subscribe("a", True, "1"),  # noqa: FBT003 -- the contract's order is under test
        {"type": "subscribe", "channel": "a", "includeSenderMetadata": True, "requestId": "1"},
    ),
    (Unsubscribe("a", "1"), {"type": "unsubscribe", "channel": "a", "requestId": "1"}),
    (Publish("a", Raw(b"[1]"), "1"), {"type": "publish", "channel": "a", "data": [1], "requestId": "1"}),
    (Publish("a", Raw(b"null")), {"type": "publish", "channel": "a", "data": None}),
    (Publish("a"), {"type": "publish", "channel": "a"}),
    (Send("p", Raw(b'"x"'), "1"), {"type": "send", "to": "p", "data": "x", "requestId": "1"}),
    (Ping(), {"type": "ping"}),
    (Ping("1"), {"type": "ping", "requestId": "1"}),
]
SERVER: list[tuple[ServerFrame, dict[str, Any]]] = [
    (
        Welcome("p", None, 1_700_000_000, 65536),
        {
            "type": "welcome",
            "peerId": "p",
            "expiresAt": None,
            "serverTime": 1_700_000_000,
            "maxMessageSize": 65536,
        },
    ),
    (
        Welcome("p", 1_700_000_900, 1_700_000_000, 1, {"iceServers": []}, ("dedupe.v1",)),
        {
            "type": "welcome",
            "peerId": "p",
            "expiresAt": 1_700_000_900,
            "serverTime": 1_700_000_000,
            "maxMessageSize": 1,
            "metadata": {"iceServers": []},
            "extensions": ["dedupe.v1"],
        },
    ),
    (Ack("1"), {"type": "ack", "requestId": "1"}),
    (ErrorFrame("missing_data"), {"type": "error", "code": "missing_data"}),
    (
        ErrorFrame("out_of_tea", "1", "sorry"),
        {"type": "error", "code": "out_of_tea", "requestId": "1", "message": "sorry"},
    ),
    (MessageFrame("a", "p", Raw(b"1")), {"type": "message", "channel": "a", "from": "p", "data": 1}),
    (
        MessageFrame("a", "p", Raw(b"null"), Raw(b"{}")),
        {"type": "message", "channel": "a", "from": "p", "data": None, "fromMetadata": {}},
    ),
    (DirectFrame("p", Raw(b"1")), {"type": "direct", "from": "p", "data": 1}),
    (
        DirectFrame("p", Raw(b"1"), Raw(b'{"a":1}')),
        {"type": "direct", "from": "p", "data": 1, "fromMetadata": {"a": 1}},
    ),
    (PresenceFrame("a", (), ()), {"type": "presence", "channel": "a", "joined": [], "left": []}),
    (
        PresenceFrame("a", (PresencePeer("p"), PresencePeer("q", Raw(b'{"n":1}'))), (PresencePeer("r"),)),
        {
            "type": "presence",
            "channel": "a",
            "joined": [{"peerId": "p"}, {"peerId": "q", "metadata": {"n": 1}}],
            "left": [{"peerId": "r"}],
        },
    ),
    (GoingAway(2500), {"type": "going_away", "retryAfterMs": 2500}),
    (Pong(), {"type": "pong"}),
    (Pong("1"), {"type": "pong", "requestId": "1"}),
]


@pytest.mark.parametrize(("frame", "wire"), CLIENT)
def test_client_frames_on_the_wire(frame: ClientFrame, wire: dict[str, Any]) -> None:
    assert json.loads(encode(frame)) == wire
    assert decode_client_frame(json.dumps(wire).encode()) == frame


@pytest.mark.parametrize(("frame", "wire"), SERVER)
def test_server_frames_on_the_wire(frame: ServerFrame, wire: dict[str, Any]) -> None:
    assert json.loads(encode(frame)) == wire
    assert decode_server_frame(json.dumps(wire, separators=(",", ":")).encode()) == frame


@pytest.mark.parametrize("frame", [frame for frame, _wire in [*CLIENT, *SERVER]])
def test_frames_are_frozen(frame: object) -> None:
    with pytest.raises(AttributeError):
        cast("Any", frame).request_id = "2"


@pytest.mark.parametrize(
    ("wire", "read"),
    [
        (None, 1000),
        (0, 1000),
        (-5, 1000),
        (1, 1),
        (1500.7, 1500),
        (0.3, 1000),
        (300_000, 300_000),
        (10**30, 300_000),
    ],
)
def test_going_away_is_kept_within_its_range(wire: float | None, read: int) -> None:
    fields = {"type": "going_away"} | ({} if wire is None else {"retryAfterMs": wire})
    assert decode_server_frame(json.dumps(fields).encode()) == GoingAway(read)


def test_numbers_of_a_welcome_are_made_whole() -> None:
    text = b'{"type":"welcome","peerId":"p","expiresAt":2.9,"serverTime":1.5,"maxMessageSize":65536.0}'
    frame = decode_server_frame(text)
    assert frame == Welcome("p", 2, 1, 65536)
    assert isinstance(frame, Welcome)
    assert all(type(value) is int for value in (frame.expires_at, frame.server_time, frame.max_message_size))


def test_a_welcome_without_a_positive_size_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="positive"):
        Welcome("p", None, 0, 0)
