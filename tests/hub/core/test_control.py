"""The control plane's rules, without HTTP."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.hub.core import AppConfig, HubConfig, Instant, Limits, PublishableKey, SecretKey
from agentbus.hub.core.control import MAX_TOKEN_BYTES, Call, Control
from agentbus.hub.core.control_bodies import MAX_CHANNELS, MAX_LIFETIME, MAX_PERMISSIONS, Answer
from agentbus.hub.core.keyring import Caller
from agentbus.hub.server.rest.routes import sign
from agentbus.hub.server.tokens import TokenKeys
from tests.hub.core.world import KEY, Client, World, app

ALL = SecretKey(id="sk_id_all", secret="sk_secret_0123456789abcdef0123456789abcdef")
ROOMS = SecretKey(
    id="sk_id_rooms",
    secret="sk_secret_fedcba9876543210fedcba9876543210",
    channel_patterns=("rooms/*", "halls/**"),
    actions=frozenset(("publish", "send")),
)
OPEN = PublishableKey(key=KEY, channel_patterns=("**",))


def bearer(key: SecretKey) -> list[bytes]:
    return [f"Bearer {key.id}:{key.secret}".encode()]


class Desk:
    """A hub, its control plane, and someone who calls."""

    def __init__(self, *apps: AppConfig, **limits: Any) -> None:
        self.world = World(
            *(apps or (app(secret_keys=(ALL, ROOMS)),)), limits=Limits(messages_per_second=0, **limits)
        )
        self.control = Control(self.world.hub, sign)

    @property
    def now(self) -> Instant:
        return self.world.now

    def caller(self, key: SecretKey = ALL) -> Caller:
        caller = self.control.enter(bearer(key), "10.0.0.1", self.now)
        assert isinstance(caller, Caller)
        return caller

    def ask(self, call: Call, target: str = "", body: Any = b"", key: SecretKey = ALL) -> Answer:
        """Make a call, and do what it commands."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = call(self.control, self.caller(key), target, text, self.now)
        self.world.execute(answer.commands)
        return answer


@pytest.fixture
def desk() -> Desk:
    return Desk()


def told(answer: Answer) -> dict[str, Any]:
    return json.loads(msgspec.json.encode(answer.body))


def refusal(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.error


# -- who calls ---------------------------------------------------------------------------------------------


def test_all_kinds_of_bad_credential_get_one_answer(desk: Desk) -> None:
    kinds = [
        [],
        [b"Bearer x"],
        [b"Bearer sk_id_all:wrong"],
        [b"Bearer sk_id_no:x"],
        [f"Bearer {KEY}".encode()],
    ]
    answers = [desk.control.enter(kind, "10.0.0.1", desk.now) for kind in kinds]
    assert isinstance(answers[0], Answer)
    assert refusal(answers[0]) == (401, "unauthorized")
    assert answers == [answers[0]] * len(kinds)


def test_after_too_many_bad_credentials_an_address_is_not_heard_for_a_while() -> None:
    desk = Desk(connects_per_minute_per_address=3)
    for _ in range(3):
        desk.control.enter([], "10.0.0.1", desk.now)
    blocked = desk.control.enter(bearer(ALL), "10.0.0.1", desk.now)
    assert isinstance(blocked, Answer)
    assert (*refusal(blocked), blocked.retry_after) == (429, "rate_limited", 60.0)
    assert isinstance(desk.control.enter(bearer(ALL), "10.0.0.2", desk.now), Caller)
    desk.world.advance(60)
    assert isinstance(desk.control.enter(bearer(ALL), "10.0.0.1", desk.now), Caller)


def test_good_credentials_are_never_too_many() -> None:
    desk = Desk(connects_per_minute_per_address=3)
    assert all(isinstance(desk.caller(), Caller) for _ in range(100))


def test_a_hub_that_shuts_down_answers_503(desk: Desk) -> None:
    desk.world.hub.shutdown(desk.now, retry_after=1)
    answer = desk.control.enter(bearer(ALL), "10.0.0.1", desk.now)
    assert isinstance(answer, Answer)
    assert refusal(answer) == (503, "internal_error")


def test_keys_and_limits_of_another_configuration_are_known_at_once(desk: Desk) -> None:
    config = HubConfig(apps=(app(secret_keys=(ROOMS,)),), limits=Limits(connects_per_minute_per_address=1))
    desk.world.execute(desk.world.hub.reconfigure(config, desk.now))
    assert isinstance(desk.control.enter(bearer(ROOMS), "10.0.0.1", desk.now), Caller)
    revoked = desk.control.enter(bearer(ALL), "10.0.0.1", desk.now)
    assert isinstance(revoked, Answer)
    assert refusal(revoked) == (401, "unauthorized")
    again = desk.control.enter(bearer(ROOMS), "10.0.0.1", desk.now)
    assert isinstance(again, Answer)
    assert again.status == 429


# -- tokens ------------------------------------------------------------------------------------------------


def claims(desk: Desk, answer: Answer) -> Any:
    assert answer.status == 200, answer.body
    return TokenKeys.of(desk.world.hub.config).verify(answer.body.token)


def test_a_token_says_what_was_asked_for(desk: Desk) -> None:
    body = {
        "peerId": "alice",
        "channels": ["rooms/*"],
        "permissions": ["publish"],
        "expiresInSec": 60,
        "metadata": {"turn": 1},
        "peerMetadata": {"name": "Alice"},
        "unknown": "is ignored",
    }
    answer = desk.ask(Control.mint_token, body=body)
    found = claims(desk, answer)
    assert (found.key_id, found.subject) == ("sk_id_all", "alice")
    assert (found.channels, found.permissions) == (("rooms/*",), {"publish"})
    assert found.expires_at == int(desk.now.wall) + 60 == answer.body.expires_at
    assert (bytes(found.metadata), bytes(found.peer_metadata)) == (b'{"turn": 1}', b'{"name": "Alice"}')


def test_what_is_left_out_is_all_that_the_key_has_for_an_hour(desk: Desk) -> None:
    found = claims(desk, desk.ask(Control.mint_token, body={"peerId": "alice"}))
    assert (found.channels, found.permissions, found.metadata) == (None, None, None)
    assert found.expires_at == int(desk.now.wall) + 3600


def test_metadata_is_passed_on_byte_for_byte(desk: Desk) -> None:
    body = b'{"peerId": "a", "peerMetadata": {"n": 1.00, "s": "\\u0041", "n": 2}}'
    assert b'{"n": 1.00, "s": "\\u0041", "n": 2}' in bytes(
        claims(desk, desk.ask(Control.mint_token, body=body)).peer_metadata
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "one JSON object"),
        (b"[]", "one JSON object"),
        (b'{"peerId": "a"', "one JSON object"),
        (b'{"peerId": "\xff"}', "one JSON object"),
        ({}, "peerId"),
        ({"peerId": 7}, "peerId"),
        ({"peerId": ""}, "peerId"),
        ({"peerId": "ü"}, "peerId"),
        ({"peerId": "a\n"}, "peerId"),
        ({"peerId": "a" * 129}, "peerId"),
        ({"peerId": "a", "channels": "rooms"}, "channels"),
        ({"peerId": "a", "channels": ["a"] * (MAX_CHANNELS + 1)}, "channels"),
        ({"peerId": "a", "permissions": ["fly"]}, "permissions"),
        ({"peerId": "a", "permissions": ["send"] * (MAX_PERMISSIONS + 1)}, "permissions"),
        ({"peerId": "a", "expiresInSec": 0}, "expiresInSec"),
        ({"peerId": "a", "expiresInSec": MAX_LIFETIME + 1}, "expiresInSec"),
        ({"peerId": "a", "expiresInSec": "1h"}, "expiresInSec"),
        ({"peerId": "a", "metadata": [1]}, "metadata"),
        ({"peerId": "a", "metadata": {"a": "x" * 8192}}, "metadata"),
        ({"peerId": "a", "peerMetadata": {"a": "x" * 4096}}, "peerMetadata"),
        ({"peerId": "a", "peerMetadata": None}, "peerMetadata"),
        ({"peerId": "a", "channels": ["x" * 290] * MAX_CHANNELS}, str(MAX_TOKEN_BYTES)),
    ],
)
def test_a_request_for_a_token_that_makes_no_sense_says_where(desk: Desk, body: Any, words: str) -> None:
    answer = desk.ask(Control.mint_token, body=body)
    assert refusal(answer) == (400, "invalid_request")
    assert words in told(answer)["message"]


def test_the_largest_request_that_makes_sense_is_signed(desk: Desk) -> None:
    body = {
        "peerId": "a" * 128,
        "channels": [f"{number:03}" for number in range(MAX_CHANNELS)],
        "permissions": ["send"] * MAX_PERMISSIONS,
        "expiresInSec": MAX_LIFETIME,
        "metadata": {"a": "x" * (8192 - 10)},
        "peerMetadata": {"a": "x" * (4096 - 10)},
    }
    assert len(claims(desk, desk.ask(Control.mint_token, body=body)).channels) == MAX_CHANNELS


@pytest.mark.parametrize("channels", [["rooms/a"], ["rooms/*"], ["halls/**", "halls/x/*"], []])
def test_a_token_may_be_narrower_than_its_key(desk: Desk, channels: list[str]) -> None:
    answer = desk.ask(Control.mint_token, body={"peerId": "a", "channels": channels}, key=ROOMS)
    assert claims(desk, answer).channels == tuple(channels)


@pytest.mark.parametrize("channel", ["**", "rooms/**", "rooms/a/b", "*", "lobby", "rooms*"])
def test_a_token_is_never_wider_than_its_key(desk: Desk, channel: str) -> None:
    answer = desk.ask(Control.mint_token, body={"peerId": "a", "channels": ["rooms/a", channel]}, key=ROOMS)
    assert refusal(answer) == (403, "channel_not_authorized")
    assert "channels[1]" in told(answer)["message"]


def test_a_token_permits_no_more_than_its_key(desk: Desk) -> None:
    answer = desk.ask(Control.mint_token, body={"peerId": "a", "permissions": ["presence"]}, key=ROOMS)
    assert refusal(answer) == (403, "action_not_permitted")


# -- peers -------------------------------------------------------------------------------------------------


def test_peers_are_told_in_the_order_of_joining_with_what_others_see_of_them(desk: Desk) -> None:
    desk.world.join("a/b", peer="alice", peer_metadata={"n": 1}, metadata={"private": 1})
    desk.world.join("a/b", peer="bob")
    desk.world.join("a/b", peer="alice", peer_metadata={"n": 1})
    desk.world.join("c", peer="carol")
    answer = desk.ask(Control.list_peers, "a/b")
    assert told(answer) == {
        "channel": "a/b",
        "peers": [{"peerId": "alice", "metadata": {"n": 1}}, {"peerId": "bob"}],
    }
    assert told(desk.ask(Control.list_peers, "empty")) == {"channel": "empty", "peers": []}


def test_another_apps_channel_of_the_same_name_is_another() -> None:
    other = SecretKey(id="sk_id_other", secret="other")
    desk = Desk(app(secret_keys=(ALL,)), AppConfig(id="two", secret_keys=(other,)))
    desk.world.join("a", peer=None)
    assert told(desk.ask(Control.list_peers, "a", key=other))["peers"] == []
    assert told(desk.ask(Control.publish, "a", {"data": 1}, key=other))["delivered"] == 0
    assert told(desk.ask(Control.kick, "peer-1", key=other))["closed"] == 0


CALLS = [(Control.list_peers, b""), (Control.publish, b'{"data":1}')]


@pytest.mark.parametrize(("call", "body"), CALLS)
@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("", (400, "invalid_request")),
        ("a\n", (400, "invalid_request")),
        ("a" * 257, (400, "invalid_request")),
        ("_system/x", (400, "channel_reserved")),
        ("_metered/x", (400, "channel_reserved")),
    ],
)
def test_a_channel_that_nobody_may_have(
    desk: Desk, call: Call, body: bytes, channel: str, expected: tuple[int, str]
) -> None:
    assert refusal(desk.ask(call, channel, body)) == expected


def test_the_keys_actions_and_channels_bound_what_it_may(desk: Desk) -> None:
    assert refusal(desk.ask(Control.list_peers, "rooms/a", key=ROOMS)) == (403, "action_not_permitted")
    assert refusal(desk.ask(Control.publish, "lobby", {"data": 1}, key=ROOMS)) == (
        403,
        "channel_not_authorized",
    )
    assert desk.ask(Control.publish, "rooms/a", {"data": 1}, key=ROOMS).status == 200


# -- publish -----------------------------------------------------------------------------------------------


def test_a_publish_reaches_every_subscribed_connection_and_counts_them(desk: Desk) -> None:
    ones = [desk.world.join("a", peer="alice"), desk.world.join("a", peer="alice"), desk.world.join("a")]
    desk.world.join("b")
    assert told(desk.ask(Control.publish, "a", {"data": {"x": 1}})) == {"channel": "a", "delivered": 3}
    expected = {"type": "message", "channel": "a", "from": "system", "data": {"x": 1}}
    assert [one.take() for one in ones] == [[expected]] * 3
    assert desk.world.hub.usage("demo", desk.now).messages_used == 1


def test_the_sender_and_its_metadata_are_those_that_were_given(desk: Desk) -> None:
    plain, curious = desk.world.join("a"), desk.world.connect(key=KEY)
    curious.subscribe("a", includeSenderMetadata=True)
    plain.take()
    desk.ask(Control.publish, "a", {"data": None, "from": "crön", "peerMetadata": {"n": 1}})
    message = {"type": "message", "channel": "a", "from": "crön", "data": None}
    assert plain.take() == [message]
    assert curious.take() == [message | {"fromMetadata": {"n": 1}}]


@given(st.recursive(st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists))
def test_data_is_passed_on_byte_for_byte(data: Any) -> None:
    desk = Desk()
    client: Client = desk.world.join("a")
    text = json.dumps(data, indent=1).encode()
    assert desk.ask(Control.publish, "a", b'{"data":' + text + b', "from": "x"}').status == 200
    assert text in client.raw[0]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "one JSON object"),
        ({}, "data is missing"),
        ({"data": 1, "from": ""}, "from"),
        ({"data": 1, "from": "a\n"}, "from"),
        ({"data": 1, "from": "a" * 129}, "from"),
        ({"data": 1, "from": None}, "from"),
        ({"data": 1, "peerMetadata": "x"}, "peerMetadata"),
        ({"data": 1, "peerMetadata": {"a": "x" * 4096}}, "peerMetadata"),
    ],
)
def test_a_publish_that_makes_no_sense_says_where_and_reaches_nobody(
    desk: Desk, body: Any, words: str
) -> None:
    client = desk.world.join("a")
    answer = desk.ask(Control.publish, "a", body)
    assert refusal(answer) == (400, "invalid_request")
    assert words in told(answer)["message"]
    assert client.take() == []


def test_data_of_more_than_a_message_carries_is_413() -> None:
    desk = Desk(max_message_size=1000)
    client = desk.world.join("a")
    assert desk.ask(Control.publish, "a", {"data": "x" * 998}).status == 200
    assert refusal(desk.ask(Control.publish, "a", {"data": "x" * 999})) == (413, "invalid_request")
    assert len(client.take()) == 1


def test_a_used_up_quota_is_429_until_the_month_ends() -> None:
    desk = Desk(app(secret_keys=(ALL,), max_messages_per_period=1))
    assert desk.ask(Control.publish, "a", {"data": 1}).status == 200
    answer = desk.ask(Control.publish, "a", {"data": 1})
    assert refusal(answer) == (429, "over_message_quota")
    assert answer.retry_after == desk.world.hub.usage("demo", desk.now).period_end_unix - desk.now.wall


# -- kick --------------------------------------------------------------------------------------------------


def test_a_kick_closes_all_connections_of_a_peer_with_4020_and_counts_them(desk: Desk) -> None:
    ones = [desk.world.join("a", peer="alice"), desk.world.join(peer="alice")]
    other = desk.world.join("a", peer="bob")
    assert told(desk.ask(Control.kick, "alice")) == {"peerId": "alice", "closed": 2}
    assert [one.close_code for one in (*ones, other)] == [4020, 4020, None]
    assert told(desk.ask(Control.kick, "alice")) == {"peerId": "alice", "closed": 0}


@pytest.mark.parametrize("peer", ["", "a\x7f", "a" * 129])
def test_a_peer_that_nobody_may_be(desk: Desk, peer: str) -> None:
    assert refusal(desk.ask(Control.kick, peer)) == (400, "invalid_request")


# -- usage, and an app that is suspended -------------------------------------------------------------------


def test_usage_has_the_names_of_the_protocol(desk: Desk) -> None:
    desk.world.join("a")
    used = told(desk.ask(Control.usage))
    plan = used.pop("plan")
    assert used == {
        "appId": "demo",
        "periodStartUnix": 1_748_736_000,
        "periodEndUnix": 1_751_328_000,
        "concurrentNow": 1,
        "peakConcurrent": 1,
        "messagesUsed": 0,
        "overageMessages": 0,
        "overageConnections": 0,
    }
    assert plan == {
        "name": "self-hosted",
        "maxConcurrentConnections": 1000,
        "maxMessagesPerPeriod": 0,
        "overagesAllowed": False,
        "overagesEnabled": False,
    }


@pytest.mark.parametrize(
    ("call", "target", "body"),
    [
        (Control.mint_token, "", b'{"peerId":"a"}'),
        (Control.list_peers, "a", b""),
        (Control.publish, "a", b'{"data":1}'),
        (Control.kick, "a", b""),
    ],
)
def test_a_suspended_apps_key_may_read_its_usage_and_nothing_else(
    call: Call, target: str, body: bytes
) -> None:
    desk = Desk(app(secret_keys=(ALL,), suspended=True))
    answer = desk.ask(call, target, body)
    assert refusal(answer) == (403, "action_not_permitted")
    assert "suspended" in told(answer)["message"]
    assert desk.ask(Control.usage).status == 200
