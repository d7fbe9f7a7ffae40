"""Presence: snapshots, deltas, who sees whom. Spec section 4."""

from __future__ import annotations

import json
from typing import Any

from agentbus.hub.core import Limits, PublishableKey
from tests.hub.core.world import KEY, Client, World, app


def told(client: Client) -> list[tuple[list[str], list[str]]]:
    """Return (joined, left) of each presence frame that came, by peer id."""
    return [
        ([peer["peerId"] for peer in frame["joined"]], [peer["peerId"] for peer in frame["left"]])
        for frame in client.take()
        if frame["type"] == "presence"
    ]


def snapshot(frames: list[dict[str, Any]]) -> list[str]:
    [frame] = frames
    assert frame["left"] == []
    return [peer["peerId"] for peer in frame["joined"]]


def test_a_subscriber_gets_a_snapshot_of_the_others_right_after_its_ack() -> None:
    world = World()
    alice = world.join(peer="alice", peer_metadata={"name": "Alice"})
    assert alice.say({"type": "subscribe", "channel": "c", "requestId": "r"}) == [
        {"type": "ack", "requestId": "r"},
        {"type": "presence", "channel": "c", "joined": [], "left": []},
    ]
    bob = world.join(peer="bob")
    assert bob.say({"type": "subscribe", "channel": "c", "requestId": "r"})[1:] == [
        {
            "type": "presence",
            "channel": "c",
            "joined": [{"peerId": "alice", "metadata": {"name": "Alice"}}],
            "left": [],
        }
    ]
    assert alice.take() == []
    world.advance(0.05)
    assert alice.take() == [{"type": "presence", "channel": "c", "joined": [{"peerId": "bob"}], "left": []}]
    assert bob.take() == []


def test_both_lists_are_always_on_the_wire() -> None:
    client = World().connect(key=KEY)
    client.say({"type": "subscribe", "channel": "c"})
    client.raw.clear()
    client.world.execute(
        client.world.hub.receive(client.session, b'{"type":"subscribe","channel":"c"}', client.world.now)
    )
    assert b'"joined":[]' in client.raw[-1]
    assert b'"left":[]' in client.raw[-1]


def test_a_peer_joins_with_its_first_connection_and_leaves_with_its_last() -> None:
    world = World()
    watcher = world.join("c", peer="watcher")
    one, two = world.join("c", peer="alice"), world.join("c", peer="alice")
    world.advance(1)
    assert told(watcher) == [(["alice"], [])]
    one.drop()
    world.advance(1)
    assert told(watcher) == []
    two.ask("unsubscribe", channel="c")
    world.advance(1)
    assert told(watcher) == [([], ["alice"])]


def test_a_peer_never_sees_itself_however_many_connections_it_has() -> None:
    world = World()
    one = world.join("c", peer="alice")
    two = world.connect(token=world.token("alice"))
    two.take()
    assert snapshot(two.subscribe("c")) == []
    one.drop()
    world.advance(1)
    assert told(two) == []
    three = world.join("c", peer="alice")
    two.ask("unsubscribe", channel="c")
    two.subscribe("c")
    world.advance(1)
    assert told(three) == []
    assert told(two) == []


def test_a_resubscribe_gets_a_fresh_snapshot_and_announces_nothing() -> None:
    world = World()
    alice, bob = world.join("c", peer="alice"), world.join("c", peer="bob")
    world.advance(1)
    alice.take()
    assert snapshot(bob.subscribe("c")) == ["alice"]
    world.advance(1)
    assert alice.take() == []


def test_without_the_presence_action_one_is_seen_and_sees_nobody() -> None:
    blind = PublishableKey(
        key="pk_blind", channel_patterns=("**",), actions=frozenset(("subscribe", "publish"))
    )
    world = World(app(publishable_keys=(blind,)))
    mole = world.connect(key="pk_blind")
    mole.take()
    assert mole.subscribe("c") == []
    alice = world.join(peer="alice")
    assert snapshot(alice.subscribe("c")) == [mole.peer_id]
    mole.drop()
    world.advance(1)
    assert told(alice) == [([], [mole.peer_id])]
    assert mole.take() == []


def test_who_came_and_went_within_the_delay_is_not_mentioned() -> None:
    world = World()
    watcher = world.join("c", peer="watcher")
    world.advance(1)
    ghost = world.join("c", peer="ghost")
    world.advance(0.02)
    ghost.drop()
    world.join("c", peer="stayer")
    world.advance(0.02)
    assert told(watcher) == []
    world.advance(0.02)
    assert told(watcher) == [(["stayer"], [])]


def test_who_went_and_came_back_within_the_delay_is_mentioned_only_with_other_metadata() -> None:
    world = World()
    watcher = world.join("c", peer="watcher")
    alice = world.join("c", peer="alice", peer_metadata={"v": 1})
    world.advance(1)
    watcher.take()
    alice.drop()
    alice = world.join("c", peer="alice", peer_metadata={"v": 1})
    world.advance(1)
    assert told(watcher) == []
    alice.drop()
    world.join("c", peer="alice", peer_metadata={"v": 2})
    world.advance(1)
    frames = watcher.take()
    assert [(frame["joined"], frame["left"]) for frame in frames] == [
        ([], [{"peerId": "alice", "metadata": {"v": 1}}]),
        ([{"peerId": "alice", "metadata": {"v": 2}}], []),
    ]


def test_a_snapshot_and_the_deltas_after_it_never_say_the_same_thing() -> None:
    world = World()
    old = world.join("c", peer="old")
    world.advance(1)
    early = world.join("c", peer="early")
    late = world.connect(token=world.token("late"))
    late.take()
    assert snapshot(late.subscribe("c")) == ["old", "early"]
    world.join("c", peer="last")
    early.drop()
    world.advance(1)
    assert told(old) == [(["late", "last"], [])]
    assert told(late) == [(["last"], ["early"])]


def test_a_delta_waits_no_longer_than_fifty_milliseconds_however_many_follow() -> None:
    world = World()
    watcher = world.join("c")
    world.advance(1)
    started = world.now.monotonic
    world.join("c")
    assert world.hub.next_deadline() == started + 0.05
    world.advance(0.04)
    world.join("c")
    assert world.hub.next_deadline() == started + 0.05
    world.advance(0.02)
    assert len(told(watcher)) == 1


def test_without_a_delay_deltas_follow_at_once() -> None:
    world = World(presence_delay=0)
    watcher = world.join("c")
    guest = world.join("c")
    assert told(watcher) == [([guest.peer_id], [])]
    guest.drop()
    assert told(watcher) == [([], [guest.peer_id])]
    assert world.hub.next_deadline() is None


def test_changes_are_gathered_up_to_a_limit() -> None:
    world = World()
    watcher = world.join("c")
    world.advance(1)
    for _ in range(300):
        world.join("c")
    assert [(len(joined), left) for joined, left in told(watcher)] == [(128, []), (128, [])]
    world.advance(1)
    [(joined, left)] = told(watcher)
    assert (len(joined), left) == (44, [])


def test_no_presence_frame_exceeds_256_kib() -> None:
    world = World()
    for number in range(150):
        world.join("c", peer=f"fat-{number}", peer_metadata={"bio": "x" * 4000})
    world.advance(1)
    watcher = world.connect(token=world.token("watcher"))
    watcher.take()
    watcher.say({"type": "subscribe", "channel": "c", "requestId": "r"})
    world.execute(world.hub.receive(watcher.session, b'{"type":"subscribe","channel":"c"}', world.now))
    sizes = [len(payload) for payload in watcher.raw]
    assert len(sizes) > 2
    assert max(sizes) <= 256 * 1024
    seen = [peer for joined, left in told(watcher) for peer in joined + left]
    assert seen == [f"fat-{number}" for number in range(150)]


def test_a_huge_delta_is_split_too() -> None:
    world = World()
    watcher = world.join("c")
    world.advance(1)
    for number in range(200):
        world.join("c", peer=f"fat-{number}", peer_metadata={"bio": "x" * 4000})
    world.advance(0.05)
    assert len(watcher.raw) > 3
    assert max(len(payload) for payload in watcher.raw) <= 256 * 1024
    assert sum(len(joined) for joined, _left in told(watcher)) == 200


def test_a_cut_connection_leaves_every_channel() -> None:
    world = World()
    watcher = world.join("a", "b", "c")
    guest = world.join("a", "c")
    world.advance(1)
    watcher.take()
    guest.drop()
    world.advance(1)
    assert sorted(frame["channel"] for frame in watcher.take()) == ["a", "c"]


def test_a_closed_connection_leaves_too() -> None:
    world = World(limits=Limits(max_message_size=128, messages_per_second=0))
    watcher, guest = world.join("c"), world.join("c")
    world.advance(1)
    watcher.take()
    guest.say(b" " * 2000)
    assert guest.close_code == 1009
    world.advance(1)
    assert told(watcher) == [([], [guest.peer_id])]


def test_a_message_overtakes_no_snapshot() -> None:
    """Spec section 4: no message or delta of a channel falls between the ack and its snapshot."""
    world = World()
    world.join("c", peer="old")
    world.join("c", peer="older").drop()
    guest = world.connect(key=KEY)
    guest.take()
    frames = guest.say(json.dumps({"type": "subscribe", "channel": "c", "requestId": "r"}).encode())
    assert [frame["type"] for frame in frames] == ["ack", "presence"]
