from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from agentbus.client.events import (
    ChannelMessage,
    DirectMessage,
    PresencePeer,
    channel_message,
    connected_event,
    direct_message,
    going_away_event,
    presence_event,
)
from agentbus.errors import EncodeError
from agentbus.protocol.codec import decode_server_frame
from agentbus.protocol.frames import DirectFrame, GoingAway, MessageFrame, PresenceFrame, Welcome
from agentbus.protocol.limits import ConnectionLimits

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@dataclass
class Alarm:
    sensor: str
    value: int


def received(payload: bytes) -> Any:
    return decode_server_frame(payload)


def message(data: bytes) -> ChannelMessage:
    frame = received(b'{"type":"message","channel":"c","from":"p","data":' + data + b"}")
    assert isinstance(frame, MessageFrame)
    return channel_message(frame)


def test_data_is_decoded_once() -> None:
    event = message(b'{"n": [1, 2]}')
    assert event.data == {"n": [1, 2]}
    assert event.data is event.data


def test_raw_is_the_author_s_text() -> None:
    assert message(b'{"a" :  1.00}').raw == b'{"a" :  1.00}'


def test_data_decodes_straight_into_a_type() -> None:
    event = message(b'{"sensor":"T-12","value":92}')
    assert event.data_as(Alarm) == Alarm("T-12", 92)
    assert event.data_as(dict[str, str | int]) == {"sensor": "T-12", "value": 92}
    with pytest.raises(msgspec.ValidationError):
        event.data_as(list[int])


def test_metadata_of_the_sender() -> None:
    frame = received(b'{"type":"direct","from":"p","data":null,"fromMetadata":{"name":"Ann"}}')
    assert isinstance(frame, DirectFrame)
    event = direct_message(frame)
    assert event.sender_metadata == {"name": "Ann"}
    assert event.data is None
    assert message(b"1").sender_metadata is None


@given(json_values)
def test_an_event_made_by_hand_equals_the_received_one(value: Any) -> None:
    by_hand = ChannelMessage("c", "p", None, value)
    from_wire = message(msgspec.json.encode(value))
    assert from_wire == by_hand
    assert hash(from_wire) == hash(by_hand)
    assert by_hand.data_as(object) == from_wire.data_as(object)
    assert msgspec.json.decode(by_hand.raw) == from_wire.data


def test_events_of_other_kinds_and_contents_differ() -> None:
    assert message(b"1") != message(b"2")
    assert message(b"1") != DirectMessage("p", None, 1)


def test_repr_shows_short_payloads_and_names_the_size_of_long_ones() -> None:
    shown = "ChannelMessage(channel='c', sender='p', sender_metadata=None, data={'n': 1})"
    assert repr(message(b'{"n":1}')) == shown
    assert repr(ChannelMessage("c", "p", None, {"n": 1})) == shown
    long = message(b'"' + b"x" * 10_000 + b'"')
    assert "data=<10002 bytes of JSON>" in repr(long)


def test_repr_never_raises() -> None:
    assert "<4 bytes>" in repr(ChannelMessage("c", "p", None, Raw(b"nope")))


def test_events_can_be_copied_pickled_matched_and_encoded() -> None:
    event = message(b'{"kind":"hello"}')
    assert copy.copy(event) == event
    assert pickle.loads(pickle.dumps(event)) == event
    assert msgspec.json.decode(msgspec.json.encode(event))["data"] == {"kind": "hello"}
    match event:
        case ChannelMessage(channel, data={"kind": kind}):
            assert (channel, kind) == ("c", "hello")
        case _:
            pytest.fail("it did not match")


def test_events_are_frozen() -> None:
    event: Any = message(b"1")
    with pytest.raises(AttributeError):
        event.channel = "other"
    with pytest.raises(AttributeError):
        event.data = 2


def test_data_made_by_hand_that_has_no_json_form() -> None:
    with pytest.raises(EncodeError):
        _ = ChannelMessage("c", "p", None, object()).raw


def test_presence() -> None:
    frame = received(
        b'{"type":"presence","channel":"c","joined":[{"peerId":"a","metadata":{"n":1}},{"peerId":"b"}],"left":[]}'
    )
    assert isinstance(frame, PresenceFrame)
    event = presence_event(frame, is_snapshot=True)
    assert event.is_snapshot
    assert event.joined == (PresencePeer("a", {"n": 1}), PresencePeer("b", None))
    assert event.joined[0].metadata == {"n": 1}
    assert event.left == ()


def test_connected() -> None:
    frame = received(
        b'{"type":"welcome","peerId":"me","expiresAt":null,"serverTime":5,"maxMessageSize":65536,'
        b'"metadata":{"iceServers":[{"urls":"turn:t.example","username":"u","credential":"c"}]}}'
    )
    assert isinstance(frame, Welcome)
    event = connected_event(frame, is_reconnect=True)
    assert (event.peer_id, event.server_time, event.expires_at) == ("me", 5, None)
    assert event.is_reconnect
    assert event.max_message_size == 65536
    assert event.ice_servers is not None
    assert event.ice_servers[0].username == "u"


def test_going_away_is_in_seconds() -> None:
    frame = received(b'{"type":"going_away","retryAfterMs":2500}')
    assert isinstance(frame, GoingAway)
    assert going_away_event(frame).retry_after == 2.5


def test_limits_are_taken_only_where_the_hub_offers_them() -> None:
    limits = ConnectionLimits(100.0, 200, 100, 1000)
    announced = Welcome("p", None, 1, 65536, None, ("limits.v1",), limits)
    assert connected_event(announced, is_reconnect=False).limits == limits
    unannounced = Welcome("p", None, 1, 65536, None, (), limits)
    assert connected_event(unannounced, is_reconnect=False).limits is None
