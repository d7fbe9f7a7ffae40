"""Presence over hubs: one peer is one peer wherever its connections are, and a hub's peers leave with it."""

from __future__ import annotations

from typing import Any

from tests.hub.core.cluster.world import BEAT, LEASE, ClusterWorld
from tests.hub.core.world import Client


def changes(client: Client) -> list[tuple[list[str], list[str]]]:
    """Return the presence frames that came, as ids that joined and left."""
    return [
        ([peer["peerId"] for peer in frame["joined"]], [peer["peerId"] for peer in frame["left"]])
        for frame in client.take()
        if frame["type"] == "presence"
    ]


def snapshot(client: Client, channel: str = "room") -> set[str]:
    frames: list[dict[str, Any]] = client.subscribe(channel)
    [frame] = [frame for frame in frames if frame["type"] == "presence"]
    return {peer["peerId"] for peer in frame["joined"]}


def test_a_snapshot_holds_the_peers_of_all_hubs_with_their_metadata() -> None:
    hubs = ClusterWorld(3)
    hubs[0].join("room", peer="alice", peer_metadata={"n": "A"})
    hubs[1].join("room", peer="bob")
    carol = hubs[2].join(peer="carol")
    [frame] = carol.subscribe("room")
    assert sorted(frame["joined"], key=lambda peer: str(peer["peerId"])) == [
        {"peerId": "alice", "metadata": {"n": "A"}},
        {"peerId": "bob"},
    ]


def test_a_peer_that_comes_and_goes_at_one_hub_is_seen_at_the_others() -> None:
    hubs = ClusterWorld(2)
    alice = hubs[0].join("room", peer="alice")
    bob = hubs[1].join("room", peer="bob")
    hubs.advance(0.05)
    assert changes(alice) == [(["bob"], [])]
    bob.ask("unsubscribe", channel="room")
    hubs.settle()
    hubs.advance(0.05)
    assert changes(alice) == [([], ["bob"])]
    assert hubs[0].peers("room") == ["alice"]


def test_a_peer_with_connections_at_two_hubs_joins_with_the_first_and_leaves_with_the_last() -> None:
    hubs = ClusterWorld(3)
    watcher = hubs[0].join("room", peer="watcher")
    first = hubs[1].join("room", peer="bob")
    hubs.advance(0.05)
    assert changes(watcher) == [(["bob"], [])]
    second = hubs[2].join("room", peer="bob")
    first.drop()
    hubs.settle()
    hubs.advance(0.05)
    assert changes(watcher) == []
    second.drop()
    hubs.settle()
    hubs.advance(0.05)
    assert changes(watcher) == [([], ["bob"])]


def test_a_peer_never_sees_itself_at_another_hub() -> None:
    hubs = ClusterWorld(2)
    first = hubs[0].join("room", peer="bob")
    second = hubs[1].join(peer="bob")
    assert snapshot(second) == set()
    hubs.settle()
    hubs.advance(0.1)
    assert changes(first) == changes(second) == []


def test_a_hub_that_starts_late_knows_everybody() -> None:
    hubs = ClusterWorld(2)
    hubs[0].join("room", peer="alice")
    hubs[1].join("room", peer="bob")
    late = hubs.start()
    hubs.settle()
    assert late.core.links.synced
    assert late.peers("room") == ["alice", "bob"]
    assert snapshot(late.join(peer="carol")) == {"alice", "bob"}


def test_the_peers_of_a_hub_that_died_leave_when_its_lease_is_over_and_no_others() -> None:
    hubs = ClusterWorld(3)
    watcher = hubs[0].join("room", peer="watcher")
    hubs[1].join("room", peer="bob")
    hubs[1].join("room", peer="both")
    hubs[2].join("room", peer="both")
    hubs[2].join("room", peer="carol")
    hubs.advance(0.05)
    watcher.take()
    hubs.kill(hubs[1])
    hubs.advance(LEASE - BEAT)
    assert changes(watcher) == []
    hubs.advance(2 * BEAT + 0.1)
    assert changes(watcher) == [([], ["bob"])]
    assert hubs[2].peers("room") == ["watcher", "both", "carol"]


def test_the_peers_of_a_hub_that_stops_leave_at_once() -> None:
    hubs = ClusterWorld(2)
    watcher = hubs[0].join("room", peer="watcher")
    hubs[1].join("room", peer="bob")
    hubs.advance(0.05)
    watcher.take()
    hubs.stop(hubs[1])
    hubs.advance(0.05)
    assert changes(watcher) == [([], ["bob"])]


def test_a_partition_removes_the_other_sides_peers_and_healing_brings_them_back() -> None:
    hubs = ClusterWorld(3)
    alice = hubs[0].join("room", peer="alice")
    bob = hubs[1].join("room", peer="bob")
    hubs.advance(0.05)
    alice.take()
    bob.take()
    hubs.exchange.cut_off(hubs[1].life)
    hubs.advance(LEASE + 2 * BEAT)
    assert changes(alice) == [([], ["bob"])]
    assert changes(bob) == [([], ["alice"])]
    carol = hubs[2].join("room", peer="carol")
    hubs.exchange.heal()
    hubs.advance(2 * BEAT + 0.1)
    assert changes(alice) == [(["carol"], []), (["bob"], [])]
    assert sorted(joined for frame in changes(bob) for joined in frame[0]) == ["alice", "carol"]
    assert changes(carol)[-1] == (["bob"], [])


def test_a_short_outage_of_the_backplane_is_no_change_of_presence() -> None:
    hubs = ClusterWorld(2)
    alice = hubs[0].join("room", peer="alice")
    bob = hubs[1].join("room", peer="bob")
    hubs.advance(0.05)
    alice.take()
    hubs.exchange.take_away()
    hubs.settle()
    assert not hubs[0].core.reachable
    hubs.advance(2 * BEAT)
    bob.drop()
    carol = hubs[1].join("room", peer="carol")
    hubs.exchange.bring_back()
    hubs.settle()
    hubs.advance(0.1)
    assert changes(alice) == [(["carol"], ["bob"])]
    assert carol.close_code is None


def test_what_was_lost_on_the_way_is_noticed_and_told_anew() -> None:
    hubs = ClusterWorld(2)
    alice = hubs[0].join("room", peer="alice")
    hubs[1].join("room", peer="bob")
    hubs.exchange.swallow(1)
    hubs[1].join("room", peer="carol")
    hubs.advance(0.1)
    assert hubs[0].peers("room") == ["alice", "bob"]
    hubs.advance(2 * BEAT)
    assert hubs[0].peers("room") == ["alice", "bob", "carol"]
    assert [joined for joined, _ in changes(alice)] == [["bob"], ["carol"]]


def test_a_hub_that_was_held_up_does_not_take_the_others_for_dead() -> None:
    hubs = ClusterWorld(2)
    alice = hubs[0].join("room", peer="alice")
    hubs[1].join("room", peer="bob")
    hubs.advance(0.05)
    alice.take()
    hubs[0].alive = False  # its process stands still: no timer, nothing taken in
    hubs.advance(3 * LEASE)
    assert hubs[1].peers("room") == ["bob"]
    hubs[0].alive = True
    hubs.advance(3 * BEAT)
    assert changes(alice) == []
    assert sorted(hubs[1].peers("room")) == ["alice", "bob"]


def test_a_channel_that_nobody_is_in_any_more_is_forgotten_everywhere() -> None:
    hubs = ClusterWorld(2)
    clients = [hubs[index].join("room", peer=name) for index, name in ((0, "alice"), (1, "bob"))]
    for client in clients:
        client.drop()
    hubs.settle()
    for member in hubs.members:
        [app] = member.world.hub._apps.values()  # pyright: ignore[reportPrivateUsage] -- a leak hides there
        assert (app.channels, app.peers, app.elsewhere) == ({}, {}, {})
        assert app.meter.concurrent_elsewhere == 0
