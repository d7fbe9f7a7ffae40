"""Connecting: the welcome, or the close code that stands for it. Spec sections 1, 3, 5 and 8."""

from __future__ import annotations

import json
from typing import Any

from agentbus.hub.core import AppConfig, Close, ConnectRequest, Limits, PublishableKey, SecretKey
from tests.hub.core.world import KEY, WALL, World, app


def test_a_key_gets_a_fresh_peer_id_and_no_end() -> None:
    world = World(limits=Limits())
    first, second = world.connect(key=KEY), world.connect(key=KEY)
    assert first.take() == [
        {
            "type": "welcome",
            "peerId": "peer-1",
            "expiresAt": None,
            "serverTime": int(WALL),
            "maxMessageSize": 65536,
            "extensions": ["limits.v1", "dedupe.v1"],
            "dedupe": {"epoch": "life-1", "window": 120.0},
            "limits": {
                "messagesPerSecond": 100.0,
                "messageBurst": 200,
                "channelsPerConnection": 100,
                "maxConnections": 1000,
            },
        }
    ]
    assert second.peer_id == "peer-2"
    assert b'"expiresAt":null' in world.connect(key=KEY).raw[0]


def test_limits_are_told_only_where_the_extension_is_on() -> None:
    [plain] = World(extensions=()).connect(key=KEY).take()
    assert "limits" not in plain
    assert "extensions" not in plain
    [unpaced] = World().connect(key=KEY).take()
    assert unpaced["limits"]["messagesPerSecond"] == 0


def test_a_token_brings_its_peer_id_its_end_and_its_metadata() -> None:
    world = World()
    servers = {"iceServers": [{"urls": "stun:x"}]}
    [welcome] = world.connect(token=world.token("alice", expires_at=WALL + 60.9, metadata=servers)).take()
    assert welcome["peerId"] == "alice"
    assert welcome["expiresAt"] == int(WALL) + 60
    assert welcome["metadata"] == servers


def test_peer_metadata_is_not_told_to_the_connection_itself() -> None:
    world = World()
    [welcome] = world.connect(token=world.token("alice", peer_metadata={"name": "Alice"})).take()
    assert "metadata" not in welcome


def refused(world: World, **credential: Any) -> int | None:
    client = world.connect(**credential)
    assert client.take() == []
    assert not client.session.open
    assert client.say({"type": "ping"}) == []
    client.drop()
    assert world.hub.connections() == 0
    return client.close_code


def test_bad_credentials_are_indistinguishable() -> None:
    world = World()
    good = world.token("alice")
    bad: list[dict[str, Any]] = [
        {},
        {"key": ""},
        {"key": "pk_live_other"},
        {"key": "sk_id_all"},
        {"key": "sk_secret_all"},
        {"token": ""},
        {"token": "nonsense"},
        {"key": KEY, "token": good},
        {"key": KEY, "token": "nonsense"},
        {"token": world.token("alice", key_id="sk_id_other")},
        {"token": world.token("alice", not_before=WALL + 6)},
        {"token": world.token("alice", issued_at=WALL + 6)},
    ]
    answers = [world.hub.connect(ConnectRequest(**credential), world.now)[1] for credential in bad]
    closes = [command for [command] in answers if isinstance(command, Close)]
    assert len(closes) == len(bad)
    assert len({(command.code, command.reason) for command in closes}) == 1
    assert {refused(world, **credential) for credential in bad} == {4001}


def test_an_expired_token_is_told_apart() -> None:
    world = World()
    assert refused(world, token=world.token("alice", expires_at=WALL)) == 4002
    assert world.connect(token=world.token("alice", expires_at=WALL + 1)).close_code is None


def test_origins_bind_a_key_where_it_names_some() -> None:
    site = PublishableKey(
        key="pk_live_site", channel_patterns=("**",), allowed_origins=("https://Site.example/",)
    )
    world = World(app(publishable_keys=(site,)))
    assert refused(world, key="pk_live_site", origin="https://evil.example") == 4001
    assert refused(world, key="pk_live_site", origin="null") == 4001
    assert world.connect(key="pk_live_site", origin="https://site.example").close_code is None
    assert world.connect(key="pk_live_site").close_code is None


def test_a_suspended_app_lets_nobody_in() -> None:
    world = World(app(suspended=True))
    assert refused(world, key=KEY) == 4012
    assert refused(world, token=world.token("alice")) == 4012
    assert refused(world, key="pk_live_other") == 4001


def test_a_credential_without_channels_is_4003() -> None:
    none = PublishableKey(key="pk_live_none", channel_patterns=())
    narrow = SecretKey(id="sk_id_narrow", secret="s", channel_patterns=("rooms/*",))
    world = World(app(publishable_keys=(none,), secret_keys=(narrow,)))
    assert refused(world, key="pk_live_none") == 4003
    for channels in ((), ("halls/1",), ("halls/**",), ("rooms/1/2",)):
        token = world.token("alice", key_id="sk_id_narrow", channels=channels)
        assert refused(world, token=token) == 4003
    token = world.token("alice", key_id="sk_id_narrow", channels=("rooms/1", "halls/1"))
    assert world.connect(token=token).close_code is None


def test_connections_over_the_limit_are_4010_until_one_leaves() -> None:
    world = World(app(max_connections=2))
    first = world.connect(key=KEY)
    world.connect(token=world.token("alice"))
    assert world.connect(key=KEY).close_code == 4010
    assert world.connect(token=world.token("alice")).close_code == 4010
    first.drop()
    assert world.connect(key=KEY).close_code is None


def test_a_token_allows_what_it_and_its_key_allow() -> None:
    key = SecretKey(
        id="sk_id_a", secret="s", channel_patterns=("rooms/**",), actions=frozenset(("publish", "subscribe"))
    )
    world = World(app(secret_keys=(key,)))
    token = world.token(
        "alice", key_id="sk_id_a", channels=("**",), permissions=frozenset(("publish", "send", "fly"))
    )
    alice = world.connect(token=token)
    assert alice.ask("publish", channel="rooms/1", data=1)["type"] == "ack"
    assert alice.ask("publish", channel="halls/1", data=1)["code"] == "channel_not_authorized"
    assert alice.ask("subscribe", channel="rooms/1")["code"] == "action_not_permitted"
    assert alice.ask("send", to="alice", data=1)["code"] == "action_not_permitted"


def test_apps_are_worlds_of_their_own() -> None:
    def one(name: str) -> AppConfig:
        return AppConfig(
            id=name,
            publishable_keys=(PublishableKey(key=f"pk_{name}", channel_patterns=("**",)),),
            secret_keys=(SecretKey(id=f"sk_id_{name}", secret="s"),),
            max_connections=2,
        )

    world = World(one("red"), one("blue"))
    red = world.connect(token=world.token("alice", key_id="sk_id_red"))
    blue = world.connect(token=world.token("alice", key_id="sk_id_blue"))
    for client in (red, blue):
        client.take()
        assert client.subscribe("rooms/1") == [
            {"type": "presence", "channel": "rooms/1", "joined": [], "left": []}
        ]
    stranger = world.connect(key="pk_red")
    assert stranger.ask("publish", channel="rooms/1", data=1)["type"] == "ack"
    assert stranger.ask("send", to="alice", data=2)["type"] == "ack"
    world.advance(1)
    assert [frame["type"] for frame in red.take()] == ["message", "direct"]
    assert blue.take() == []
    assert world.connect(key="pk_red").close_code == 4010
    assert world.connect(key="pk_blue").close_code is None


def test_no_credential_shows_in_a_repr() -> None:
    request = ConnectRequest(key="pk_live_secret", token="eyJsecret", address="10.0.0.1")
    assert "secret" not in repr(request)
    assert "s3cret" not in repr(app(secret_keys=(SecretKey(id="sk_id_a", secret="s3cret"),)))


def test_a_welcome_passes_metadata_byte_for_byte() -> None:
    world = World()
    world.tokens["odd"] = world.tokens[world.token("alice", metadata={"n": 1.0})]
    client = world.connect(token="odd")
    assert json.dumps({"n": 1.0}).encode() in client.raw[0]
