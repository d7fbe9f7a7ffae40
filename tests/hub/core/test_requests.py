"""What clients ask: acks, errors, the order of checks, who gets what. Spec sections 2, 3, 6 and 8."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from agentbus.hub.core import Broadcast, Limits, PublishableKey, Send
from tests.hub.core.world import KEY, Client, World, app

ACK = {"type": "ack", "requestId": "r"}
PING = {"type": "ping"}


# -- acks and errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        {"type": "subscribe", "channel": "c"},
        {"type": "unsubscribe", "channel": "c"},
        {"type": "publish", "channel": "c", "data": None},
        {"type": "send", "to": "alice", "data": 0},
    ],
)
def test_an_id_is_acked_once_and_without_one_success_is_silent(request_: dict[str, Any]) -> None:
    world = World()
    bob, _alice = (
        world.join(peer="bob", permissions=frozenset(("subscribe", "publish", "send"))),
        world.join(peer="alice"),
    )
    assert bob.say(request_) == []
    assert bob.say(request_ | {"requestId": "r"}) == [ACK]


@pytest.mark.parametrize("request_id", ["x", "é" * 64, "x" * 128])
def test_a_failure_answers_with_the_id_it_was_asked_with(request_id: str) -> None:
    client = World().join()
    [answer] = client.say({"type": "publish", "channel": "", "data": 1, "requestId": request_id})
    assert (answer["type"], answer["code"], answer["requestId"]) == ("error", "invalid_channel", request_id)
    [answer] = client.say({"type": "publish", "channel": "", "data": 1})
    assert answer["code"] == "invalid_channel"
    assert "requestId" not in answer


def test_a_ping_is_answered_by_its_pong_alone() -> None:
    client = World().join()
    assert client.say(PING) == [{"type": "pong"}]
    assert client.say(PING | {"requestId": "r"}) == [{"type": "pong", "requestId": "r"}]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"hello", "malformed_message"),
        (b"[]", "malformed_message"),
        (b"{}", "malformed_message"),
        (b'{"type":1}', "malformed_message"),
        (b'{"type":"ping","requestId":""}', "malformed_message"),
        (b'{"type":"ping","requestId":7}', "malformed_message"),
        (b'{"type":"shout"}', "unknown_type"),
        (b'{"type":"subscribe"}', "invalid_channel"),
        (b'{"type":"subscribe","channel":7}', "invalid_channel"),
        (b'{"type":"send","data":1}', "invalid_peer_id"),
    ],
)
def test_a_frame_of_no_use_is_an_error_and_no_end(payload: bytes, code: str) -> None:
    client = World().join()
    [answer] = client.say(payload)
    assert (answer["type"], answer["code"]) == ("error", code)
    assert client.say(PING) == [{"type": "pong"}]


def test_a_binary_frame_is_malformed() -> None:
    world = World()
    client = world.join()
    world.execute(world.hub.receive_binary(client.session, world.now))
    assert [frame["code"] for frame in client.take()] == ["malformed_message"]


# -- the order of checks -----------------------------------------------------------------------------------

FAULTS = {
    "invalid": "invalid_channel",
    "reserved": "channel_reserved",
    "action": "action_not_permitted",
    "channel": "channel_not_authorized",
    "data": "missing_data",
    "quota": "over_message_quota",
}


def test_a_faultless_publish_is_acked() -> None:
    assert publish_with(set()) == ACK


@pytest.mark.parametrize(
    "faults", [one for count in range(1, 7) for one in itertools.combinations(FAULTS, count)], ids="+".join
)
def test_of_several_faults_the_first_in_the_order_of_the_spec_is_named(faults: tuple[str, ...]) -> None:
    assert publish_with(set(faults))["code"] == FAULTS[faults[0]]


def publish_with(faults: set[str]) -> dict[str, Any]:
    world = World(app(max_messages_per_period=1))
    client = world.join(
        peer="bob",
        permissions=frozenset(("send",) if "action" in faults else ("publish", "send")),
        channels=("rooms/*",),
    )
    if "quota" in faults:
        client.say({"type": "send", "to": "bob", "data": 1})
        client.take()
    name = ("_system/" if "reserved" in faults else "") + ("halls" if "channel" in faults else "rooms") + "/1"
    if "reserved" in faults and "channel" not in faults:
        name = "_system/rooms"
    fields: dict[str, Any] = {"channel": name + ("\x07" if "invalid" in faults else "")}
    if "data" not in faults:
        fields["data"] = 1
    return client.ask("publish", **fields)


def test_send_checks_its_peer_id_then_the_action_then_data_then_the_quota_then_the_peer() -> None:
    world = World(app(max_messages_per_period=1))
    mute = world.join(peer="mute", permissions=frozenset(("publish",)))
    assert mute.ask("send", to="\x00")["code"] == "invalid_peer_id"
    assert mute.ask("send", to="nobody")["code"] == "action_not_permitted"
    bob = world.join(peer="bob")
    assert bob.ask("send", to="nobody")["code"] == "missing_data"
    assert bob.ask("send", to="nobody", data=1)["code"] == "peer_not_found"
    assert bob.ask("send", to="bob", data=1) == ACK  # what was refused did not count
    assert bob.ask("send", to="nobody", data=1)["code"] == "over_message_quota"


def test_subscribe_checks_the_channel_limit_last() -> None:
    client = World(limits=Limits(channels_per_connection=2)).join("a", "b")
    assert client.ask("subscribe", channel="")["code"] == "invalid_channel"
    assert client.ask("subscribe", channel="_internal/c")["code"] == "channel_reserved"
    assert client.ask("subscribe", channel="c")["code"] == "channel_limit_exceeded"
    assert client.ask("subscribe", channel="b") == ACK
    assert client.ask("unsubscribe", channel="a") == ACK
    assert client.ask("subscribe", channel="c") == ACK


def test_unsubscribe_checks_the_name_only() -> None:
    narrow = PublishableKey(key="pk_narrow", channel_patterns=("rooms/*",), actions=frozenset(("publish",)))
    client = World(app(publishable_keys=(narrow,))).connect(key="pk_narrow")
    assert client.ask("unsubscribe", channel="_system/x") == ACK
    assert client.ask("unsubscribe", channel="halls/x") == ACK
    assert client.ask("unsubscribe", channel="\x7f")["code"] == "invalid_channel"


# -- messages ----------------------------------------------------------------------------------------------


def messages(client: Client) -> list[Any]:
    return [frame["data"] for frame in client.take() if frame["type"] in {"message", "direct"}]


def test_a_publish_reaches_every_other_subscribed_connection() -> None:
    world = World()
    alice, again, bob = world.join("c", peer="alice"), world.join("c", peer="alice"), world.join("c")
    world.join("d")
    world.advance(1)
    for client in (alice, again, bob):
        client.take()
    assert alice.ask("publish", channel="c", data="hi") == ACK
    assert alice.take() == []
    expected = {"type": "message", "channel": "c", "from": "alice", "data": "hi"}
    assert again.take() == [expected]
    assert bob.take() == [expected]


def test_publishing_needs_no_subscription_and_no_audience() -> None:
    world = World()
    outsider, member = world.join(), world.join("c")
    assert outsider.ask("publish", channel="c", data=1) == ACK
    assert messages(member) == [1]
    assert outsider.ask("publish", channel="nobody/here", data=1) == ACK
    assert member.ask("publish", channel="c", data=2) == ACK
    assert messages(member) == []


def test_sender_metadata_goes_to_those_who_asked_and_the_last_subscribe_wins() -> None:
    world = World()
    alice = world.join(peer="alice", peer_metadata={"name": "Alice"})
    curious, plain = world.join(), world.join("c")
    curious.subscribe("c", includeSenderMetadata=True)
    alice.say({"type": "publish", "channel": "c", "data": 1})
    assert curious.take() == [
        {"type": "message", "channel": "c", "from": "alice", "data": 1, "fromMetadata": {"name": "Alice"}}
    ]
    assert "fromMetadata" not in plain.take()[0]
    plain.subscribe("c", includeSenderMetadata=True)
    curious.subscribe("c")
    alice.say({"type": "publish", "channel": "c", "data": 2})
    assert "fromMetadata" in plain.take()[-1]
    assert "fromMetadata" not in curious.take()[-1]


def test_a_sender_without_metadata_has_none_to_tell() -> None:
    world = World()
    curious, sender = world.join(), world.join()
    curious.subscribe("c", includeSenderMetadata=True)
    sender.say({"type": "publish", "channel": "c", "data": 1})
    assert curious.take() == [{"type": "message", "channel": "c", "from": sender.peer_id, "data": 1}]


def test_a_direct_goes_to_all_connections_of_the_peer_and_always_with_metadata() -> None:
    world = World()
    alice = world.join(peer="alice", peer_metadata={"name": "Alice"})
    bobs = [world.join(peer="bob"), world.join(peer="bob")]
    assert alice.ask("send", to="bob", data=[1]) == ACK
    for bob in bobs:
        assert bob.take() == [
            {"type": "direct", "from": "alice", "data": [1], "fromMetadata": {"name": "Alice"}}
        ]
    bobs[0].drop()
    assert alice.ask("send", to="bob", data=2) == ACK
    assert messages(bobs[1]) == [2]
    bobs[1].drop()
    assert alice.ask("send", to="bob", data=3)["code"] == "peer_not_found"


def test_a_peer_may_send_to_itself() -> None:
    world = World()
    alice, again = world.join(peer="alice"), world.join(peer="alice")
    assert alice.ask("send", to="alice", data=1) == ACK
    assert messages(alice) == [1]
    assert messages(again) == [1]


def test_data_passes_byte_for_byte() -> None:
    world = World()
    alice, bob = world.join("c", peer="alice"), world.join("c", peer="bob")
    odd = b'{ "a" : 1.50e+3,"a":[ "\\u00e9" , null ] }'
    alice.say(b'{"type":"publish","channel":"c", "data": ' + odd + b' ,"requestId":"r"}')
    assert odd in bob.raw[-1]
    alice.say(b'{"data":' + odd + b',"to":"bob","type":"send"}')
    assert odd in bob.raw[-1]


def test_after_an_unsubscribe_nothing_more_comes() -> None:
    world = World()
    alice, bob = world.join(), world.join("c")
    assert bob.ask("unsubscribe", channel="c") == ACK
    assert bob.ask("unsubscribe", channel="c") == ACK
    alice.say({"type": "publish", "channel": "c", "data": 1})
    world.advance(1)
    assert bob.take() == []


def test_the_ack_comes_after_the_message_was_handed_over() -> None:
    world = World()
    alice = world.join("c")
    bob = world.join("c")
    commands = world.hub.receive(
        alice.session, b'{"type":"publish","channel":"c","data":1,"requestId":"r"}', world.now
    )
    assert [type(command) for command in commands] == [Broadcast, Send]
    assert bob.take() == []


# -- closes ------------------------------------------------------------------------------------------------


def test_a_frame_may_exceed_the_message_size_by_what_surrounds_its_data() -> None:
    world = World(limits=Limits(max_message_size=1000, messages_per_second=0))
    client = world.join()
    frame = b'{"type":"publish","channel":"c","data":""}'
    client.say(frame.replace(b'""', b'"' + b"x" * (2024 - len(frame)) + b'"'))
    assert client.close_code is None
    client.say(frame.replace(b'""', b'"' + b"x" * (2025 - len(frame)) + b'"'))
    assert client.close_code == 1009


def test_the_message_rate_counts_every_text_frame() -> None:
    world = World(limits=Limits(messages_per_second=10, message_burst=3))
    client = world.connect(key=KEY)
    client.take()
    for payload in (b"nonsense", b'{"type":"ping"}', b'{"type":"publish","channel":"c","data":1}'):
        client.say(payload)
    assert client.close_code is None
    world.advance(0.125)
    client.say(PING)
    assert client.close_code is None
    client.say(PING)
    assert client.close_code == 4011


def test_too_many_malformed_frames_are_1008_and_other_errors_are_not() -> None:
    world = World()
    client = world.join()
    for _ in range(30):
        client.say({"type": "shout"})
        client.say({"type": "publish", "channel": ""})
    for _ in range(10):
        client.say(b"nonsense")
        world.execute(world.hub.receive_binary(client.session, world.now))
    assert client.close_code is None
    client.say(b"nonsense")
    assert client.close_code == 1008


def test_a_closed_session_is_deaf_and_dumb() -> None:
    world = World(limits=Limits(max_message_size=128, messages_per_second=0))
    client, other = world.join("c"), world.join("c")
    client.say(b" " * 2000)
    assert client.close_code == 1009
    assert client.say(PING) == []
    world.execute(world.hub.receive_binary(client.session, world.now))
    other.say({"type": "publish", "channel": "c", "data": 1})
    client.drop()
    assert client.take() == []
    assert world.hub.connections() == 1
