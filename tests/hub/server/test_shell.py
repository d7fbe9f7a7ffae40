"""The hub's shell over the in-memory pipe, on virtual time: what the core commands reaches the wire."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from agentbus.hub.core import AppConfig, HubConfig, Limits, PublishableKey
from agentbus.hub.server.addresses import TrustedProxies, client_address
from agentbus.hub.server.embedded import EmbeddedHub
from agentbus.hub.server.session import read_credentials
from agentbus.runtime.loop import HostedLoop
from agentbus.runtime.virtual import VirtualLoop
from agentbus.wire.server import UpgradeRequest
from tests.hub.server.raw_client import RawClient

KEY = "key=pk_live_test"


@dataclass
class World:
    """A virtual loop with an embedded hub."""

    loop: VirtualLoop
    hub: EmbeddedHub
    home: HostedLoop

    def client(self, query: str = KEY, **options: str) -> RawClient:
        client = RawClient(self.hub.dial, self.home, query, **options)
        self.loop.run_until_idle()
        return client


def make_world(loop: VirtualLoop, **limits: int) -> World:
    keys = (PublishableKey(key="pk_live_test", channel_patterns=("rooms/**",)),)
    config = HubConfig(
        apps=(AppConfig(id="test", publishable_keys=keys),),
        limits=Limits(**({"messages_per_second": 0, "connects_per_minute_per_address": 0} | limits)),
    )
    ids = (f"peer-{number}" for number in itertools.count(1))
    home = HostedLoop(loop)
    return World(loop, EmbeddedHub(config, loop=home, new_id=ids.__next__), home)


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


@pytest.fixture
def world(loop: VirtualLoop) -> World:
    return make_world(loop)


def test_a_client_is_welcomed_first(world: World) -> None:
    client = world.client()
    assert client.opened
    assert client.frames[0]["type"] == "welcome"
    assert client.frames[0]["peerId"] == "peer-1"
    assert client.frames[0]["expiresAt"] is None


@pytest.mark.parametrize("query", ["", "key=pk_live_other", f"{KEY}&token=x", f"{KEY}&{KEY}", "token=x"])
def test_a_bad_credential_is_closed_with_4001_before_any_welcome(world: World, query: str) -> None:
    client = world.client(query)
    world.loop.advance(1)
    assert client.opened
    assert client.frames == []
    assert client.closed is not None
    assert client.closed[0] == 4001


def test_another_path_is_answered_with_404(world: World) -> None:
    client = world.client(path="/v2")
    assert client.closed is not None
    assert (client.closed[0], client.closed[2]) == (1006, 404)


def test_too_many_connects_are_answered_with_429_and_retry_after(loop: VirtualLoop) -> None:
    world = make_world(loop, connects_per_minute_per_address=2)
    assert [world.client().opened for _ in range(3)] == [True, True, False]
    refused = world.client()
    assert refused.closed is not None
    assert refused.closed[2] == 429
    assert refused.closed[3] is not None
    assert 0 < refused.closed[3] <= 60


def test_a_publish_reaches_every_other_subscriber_and_is_acked(world: World) -> None:
    publisher, first, second = (world.client() for _ in range(3))
    for client in (publisher, first, second):
        client.say("subscribe", channel="rooms/a")
    world.loop.advance(0.1)
    publisher.say("publish", channel="rooms/a", data={"n": 1}, requestId="p")
    world.loop.run_until_idle()
    assert publisher.heard("ack") == [{"type": "ack", "requestId": "p"}]
    assert publisher.heard("message") == []
    for client in (first, second):
        assert client.heard("message") == [
            {"type": "message", "channel": "rooms/a", "from": "peer-1", "data": {"n": 1}}
        ]


def test_presence_deltas_are_sent_when_they_are_due(world: World) -> None:
    watcher, other = world.client(), world.client()
    watcher.say("subscribe", channel="rooms/a")
    world.loop.advance(0.2)
    assert watcher.heard("presence") == [{"type": "presence", "channel": "rooms/a", "joined": [], "left": []}]
    other.say("subscribe", channel="rooms/a")
    world.loop.advance(0.2)
    assert watcher.heard("presence")[-1]["joined"] == [{"peerId": "peer-2"}]
    other.transport.abort()
    world.loop.advance(0.2)
    assert watcher.heard("presence")[-1]["left"] == [{"peerId": "peer-2"}]


def test_a_message_over_the_cap_is_closed_with_1009(world: World) -> None:
    client = world.client()
    client.say("publish", channel="rooms/a", data="x" * 67_000)
    world.loop.advance(5)
    assert client.closed is not None
    assert client.closed[0] == 1009


def test_a_slow_consumer_is_closed_with_1013_and_counted_while_the_others_go_on(loop: VirtualLoop) -> None:
    world = make_world(loop, max_backlog_bytes=1 << 17)
    publisher, slow, quick = (world.client() for _ in range(3))
    for client in (slow, quick):
        client.say("subscribe", channel="rooms/a")
    world.loop.advance(0.1)
    pause_reading(slow)
    for number in range(20):
        publisher.say("publish", channel="rooms/a", data="x" * 30_000, requestId=str(number))
        world.loop.run_until_idle()
    world.loop.advance(1)
    assert len(quick.heard("message")) == 20
    assert len(publisher.heard("ack")) == 20
    assert world.hub.shell.slow_consumers == 1
    assert world.hub.shell.hub.connections() == 2
    world.loop.advance(10)
    assert len(world.hub.shell.handlers) == 2, "the slow one's socket is gone too"


RESERVED_OPCODE = b"\x83\x80" + bytes(4)
CLOSE = b"\x88\x80" + bytes(4)


@pytest.mark.parametrize("last", [RESERVED_OPCODE, CLOSE], ids=["violation", "close"])
def test_who_cannot_be_reached_any_more_is_gone_before_its_socket_is(world: World, last: bytes) -> None:
    """Spec section 2: an ack of a `send` says that it was handed over."""
    sender, failing = world.client(), world.client()
    for client in (sender, failing):
        client.say("subscribe", channel="rooms/a")
    world.loop.advance(0.1)
    pause_reading(failing)
    getattr(failing.transport, "_transport").write(last)  # noqa: B009 -- what our client never sends
    world.loop.advance(0.1)
    sender.say("send", to="peer-2", data=1, requestId="s")
    world.loop.run_until_idle()
    assert sender.heard("ack") == []
    assert sender.heard("error")[-1]["code"] == "peer_not_found"
    assert sender.heard("presence")[-1]["left"] == [{"peerId": "peer-2"}]
    assert world.hub.shell.hub.connections() == 1
    world.loop.advance(10)
    assert len(world.hub.shell.handlers) == 1


def test_shutdown_says_going_away_then_closes_with_1001(world: World) -> None:
    clients = [world.client(), world.client()]
    world.loop.run_until_complete(world.hub.stop(grace=5))
    for client in clients:
        assert client.frames[-1]["type"] == "going_away"
        assert client.frames[-1]["retryAfterMs"] > 0
        assert client.closed is not None
        assert client.closed[0] == 1001
    assert not world.client().opened
    assert not world.hub.shell.handlers


def test_shutdown_aborts_who_does_not_leave(world: World) -> None:
    deaf = world.client()
    pause_reading(deaf)
    world.loop.run_until_complete(world.hub.stop(grace=1))
    assert world.loop.time() <= 1.5
    world.loop.advance(1)
    assert not world.hub.shell.handlers


def test_an_idle_connection_is_pinged_and_stays(world: World) -> None:
    client = world.client()
    world.loop.advance(200)
    assert client.closed is None
    client.say("ping", requestId="still here")
    world.loop.run_until_idle()
    assert client.heard("pong")[-1]["requestId"] == "still here"


def test_a_half_open_peer_leaves_within_40_seconds(world: World) -> None:
    watcher, gone = world.client(), world.client()
    for client in (watcher, gone):
        client.say("subscribe", channel="rooms/a")
    world.loop.advance(1)
    pause_reading(gone)
    world.loop.advance(41)
    assert watcher.heard("presence")[-1]["left"] == [{"peerId": "peer-2"}]
    assert world.hub.shell.hub.connections() == 1


def pause_reading(client: RawClient) -> None:
    """Stop a client's reading, as a stopped process would."""
    transport = getattr(client.transport, "_transport")  # noqa: B009 -- what a frozen process can't be asked for
    transport.pause_reading()


def test_credentials_are_percent_decoded_and_a_plus_stays_a_plus() -> None:
    assert read_credentials("key=pk%5Flive+1") == ("pk_live+1", None)
    assert read_credentials("token=a.b%2Bc&x=1") == (None, "a.b+c")
    assert read_credentials("") == (None, None)
    assert read_credentials("key=a&key=b") == (None, None)
    assert read_credentials("key=a&&x=1&x=2&") == ("a", None)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.7, 10.0.0.1", "203.0.113.7"),
        ("192.0.2.9", "203.0.113.7", "192.0.2.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("2001:db8::1", "203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "203.0.113.7, 2001:DB8:0::1", "203.0.113.7"),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, forwarded: str | None, expected: str) -> None:
    from websockets.datastructures import Headers

    headers = Headers() if forwarded is None else Headers([("X-Forwarded-For", forwarded)])
    request = UpgradeRequest("/v1", "", headers, peer)
    assert client_address(request, TrustedProxies(["10.0.0.1", "2001:DB8:0:0::1"])) == expected
