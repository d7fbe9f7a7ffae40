"""Ends and administration: expiry, shutdown, operators. Spec sections 5 and 8."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import msgspec
import pytest

from agentbus.hub.core import Limits
from agentbus.protocol import PresencePeer
from tests.hub.core.world import KEY, WALL, Client, World, app

SYSTEM = PresencePeer("system", msgspec.Raw(b'{"bot":true}'))


def test_a_connection_ends_a_quarter_second_before_its_token() -> None:
    world = World()
    alice, bob = world.join("c", peer="alice", expires_at=WALL + 60), world.join("c", peer="bob")
    assert world.hub.next_deadline() == pytest.approx(world.now.monotonic + 0.05)
    world.advance(59.7)
    assert alice.close_code is None
    bob.take()
    assert world.hub.next_deadline() == pytest.approx(159.75)
    world.advance(0.06)
    assert alice.close_code == 4002
    assert bob.close_code is None
    world.advance(1)
    assert [frame["left"] for frame in bob.take()] == [[{"peerId": "alice"}]]


def test_a_frame_that_outruns_the_tick_is_not_handled_either() -> None:
    world = World()
    alice = world.join(peer="alice", expires_at=WALL + 60)
    bob = world.join(peer="bob")
    late = type(world.now)(world.now.monotonic + 1, WALL + 59.8)  # the wall clock was set forward
    world.execute(world.hub.receive(alice.session, b'{"type":"send","to":"bob","data":1}', late))
    assert alice.close_code == 4002
    assert bob.take() == []


def test_a_step_of_the_wall_clock_moves_the_deadline() -> None:
    world = World()
    world.join(peer="alice", expires_at=WALL + 60)
    stepped = type(world.now)(world.now.monotonic + 1, WALL + 31)
    assert world.hub.tick(stepped) == []
    assert world.hub.next_deadline() == pytest.approx(stepped.monotonic + 28.75)


def test_a_shutdown_is_announced_then_closes_everyone_and_lets_nobody_in() -> None:
    world = World()
    clients = [world.join("c"), world.join("c", peer="alice")]
    world.advance(1)
    for client in clients:
        client.take()
    world.execute(world.hub.shutdown(world.now, 2.5))
    assert [client.take() for client in clients] == [[{"type": "going_away", "retryAfterMs": 2500}]] * 2
    assert [client.close_code for client in clients] == [1001, 1001]
    assert world.connect(key=KEY).close_code == 1001
    assert world.hub.connections() == 0
    assert world.hub.next_deadline() is None
    assert world.hub.shutdown(world.now, 2.5) == []


def test_an_operator_disconnects_all_connections_of_a_peer() -> None:
    world = World()
    alices = [world.join("c", peer="alice"), world.join("c", peer="alice")]
    bob = world.join("c", peer="bob")
    world.advance(1)
    bob.take()
    commands = world.hub.disconnect_peer("demo", "alice", world.now)
    world.execute(commands)
    assert len(commands) == 2
    assert [alice.close_code for alice in alices] == [4020, 4020]
    world.advance(1)
    assert [frame["left"] for frame in bob.take()] == [[{"peerId": "alice"}]]
    assert world.hub.disconnect_peer("demo", "alice", world.now) == []


def test_an_operator_sees_who_is_in_a_channel() -> None:
    world = World()
    world.join("c", peer="alice", peer_metadata={"n": 1})
    world.join("c", peer="alice")
    world.join("c", peer="bob")
    assert [peer.peer_id for peer in world.hub.peers("demo", "c")] == ["alice", "bob"]
    assert world.hub.peers("demo", "d") == []
    with pytest.raises(KeyError):
        world.hub.peers("nowhere", "c")


def test_an_operator_publishes_and_hears_how_many_got_it() -> None:
    world = World(app(max_messages_per_period=1))
    alice, bob = world.join("c", peer="alice"), world.join()
    bob.subscribe("c", includeSenderMetadata=True)
    world.advance(1)
    for client in (alice, bob):
        client.take()
    published = world.hub.publish("demo", "c", msgspec.Raw(b"[1]"), SYSTEM, world.now)
    assert published is not None
    assert published.delivered == 2
    world.execute(published.commands)
    message = {"type": "message", "channel": "c", "from": "system", "data": [1]}
    assert alice.take() == [message]
    assert bob.take() == [message | {"fromMetadata": {"bot": True}}]
    assert world.hub.publish("demo", "c", msgspec.Raw(b"1"), SYSTEM, world.now) is None


def test_an_operator_may_publish_to_nobody() -> None:
    published = World().hub.publish("demo", "c", msgspec.Raw(b"1"), SYSTEM, World().now)
    assert published is not None
    assert (published.delivered, published.commands) == (0, [])


def test_the_connect_rate_is_per_address() -> None:
    world = World(limits=Limits(connects_per_minute_per_address=2))
    assert [world.hub.allow_connect("a", world.now) for _ in range(2)] == [None, None]
    assert world.hub.allow_connect("a", world.now) == pytest.approx(60.0)
    assert world.hub.allow_connect("b", world.now) is None
    world.advance(60)
    assert world.hub.allow_connect("a", world.now) is None


def test_statistics_count_what_operators_ask_for() -> None:
    world = World()
    alice = world.join("c", peer="alice")
    world.connect(key="pk_wrong")
    alice.say({"type": "publish", "channel": "c", "data": 1})
    alice.say({"type": "send", "to": "alice", "data": 1})
    alice.say({"type": "publish", "channel": "", "data": 1})
    statistics = world.hub.statistics
    assert (statistics.accepted, statistics.published, statistics.sent) == (1, 1, 1)
    assert statistics.errors == {"invalid_channel": 1}
    assert statistics.closes == {4001: 1}


def leave(client: Client) -> None:
    client.drop()


def misbehave(client: Client) -> None:
    client.say(b" " * 99999)


def get_thrown_out(client: Client) -> None:
    client.world.execute(client.world.hub.disconnect_peer("demo", client.peer_id, client.world.now))


@pytest.mark.parametrize("end", [leave, misbehave, get_thrown_out])
def test_a_session_that_has_ended_is_forgotten(end: Callable[[Client], None]) -> None:
    world = World()
    world.join("c")
    client = world.join("c", "d", peer="x")
    probe = weakref.ref(client)
    end(client)
    world.advance(1)
    del client
    gc.collect()
    assert probe() is None
