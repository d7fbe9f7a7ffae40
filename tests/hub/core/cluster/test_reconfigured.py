"""Apps come and go by a reload, at one hub after the other."""

from __future__ import annotations

from agentbus.hub.core import AppConfig, HubConfig, Limits, PublishableKey
from tests.hub.core.cluster.world import BEAT, ClusterWorld, Member
from tests.hub.core.world import app

LATE = app(
    id="late", publishable_keys=(PublishableKey(key="pk_late", channel_patterns=("**",)),), secret_keys=()
)


def reload(hubs: ClusterWorld, member: Member, *apps: AppConfig) -> None:
    config = HubConfig(apps=apps, limits=Limits(messages_per_second=0))
    member.do(member.world.hub.reconfigure(config, hubs.now))
    hubs.settle()


def late_peers(member: Member) -> list[str]:
    return [peer.peer_id for peer in member.world.hub.peers("late", "room")]


def test_an_app_that_comes_later_to_one_hub_is_whole_there() -> None:
    hubs = ClusterWorld(2)
    reload(hubs, hubs[1], app(), LATE)
    early = hubs[1].world.connect(key="pk_late")
    early.take()
    early.subscribe("room")
    hubs.settle()
    reload(hubs, hubs[0], app(), LATE)
    assert late_peers(hubs[0]) == [early.peer_id]
    other = hubs[0].world.connect(key="pk_late")
    other.take()
    [snapshot] = other.subscribe("room")
    assert snapshot["joined"] == [{"peerId": early.peer_id}]


def test_an_app_that_goes_and_comes_back_is_whole_again() -> None:
    hubs = ClusterWorld(2, app(), LATE)
    peer = hubs[1].world.connect(key="pk_late")
    peer.take()
    peer.subscribe("room")
    hubs.settle()
    reload(hubs, hubs[0], app())
    hubs.advance(BEAT)
    reload(hubs, hubs[0], app(), LATE)
    assert late_peers(hubs[0]) == [peer.peer_id]
    assert hubs[0].world.hub.connections_of("late", peer.peer_id) == 1
    peer.drop()
    hubs.settle()
    assert late_peers(hubs[0]) == []
