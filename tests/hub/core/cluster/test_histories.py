"""Each of several hubs has a history of its own, with what others publish; a gap ends its epoch."""

from __future__ import annotations

from agentbus.hub.core import HistoryRule
from tests.hub.core.cluster.world import LEASE, ClusterWorld
from tests.hub.core.test_recovery import follow, messages
from tests.hub.core.world import app

ROOM = "rooms/1"


def hubs_with_histories() -> ClusterWorld:
    return ClusterWorld(2, app(history=(HistoryRule(pattern="rooms/**"),)))


def test_what_another_hub_publishes_is_recorded_also_while_nobody_is_subscribed_here() -> None:
    hubs = hubs_with_histories()
    alice, bob = hubs[0].join(), hubs[1].join()
    place = follow(bob, ROOM)["position"]
    hubs.settle()
    alice.ask("publish", channel=ROOM, data=1)
    hubs.settle()
    assert messages(bob) == [1]
    bob.drop()
    hubs.settle()
    alice.ask("publish", channel=ROOM, data=2)
    hubs.settle()
    again = hubs[1].join()
    assert follow(again, ROOM, since={**place, "offset": 1})["recovered"]
    assert messages(again) == [2]


def test_who_comes_back_to_another_hub_finds_another_epoch() -> None:
    hubs = hubs_with_histories()
    place = follow(hubs[0].join(), ROOM)["position"]
    ack = follow(hubs[1].join(), ROOM, since=place)
    assert not ack["recovered"]
    assert ack["position"]["epoch"] != place["epoch"]


def test_after_an_outage_of_the_backplane_every_history_begins_anew() -> None:
    hubs = hubs_with_histories()
    bob = hubs[1].join()
    place = follow(bob, ROOM)["position"]
    hubs.exchange.take_away()
    hubs.settle()
    hubs.exchange.bring_back()
    hubs.advance(LEASE)
    hubs[0].join().ask("publish", channel=ROOM, data=1)
    hubs.settle()
    assert [frame["offset"] for frame in bob.take() if frame["type"] == "message"] == [1]
    assert not follow(hubs[1].join(), ROOM, since=place)["recovered"]


def test_a_repeated_send_to_a_peer_at_another_hub_is_delivered_once() -> None:
    hubs = hubs_with_histories()
    alice, bob = hubs[0].join(), hubs[1].join(peer="bob")
    hubs.settle()

    def send(to: str, message_id: str) -> str:
        frames = alice.say({"type": "send", "to": to, "data": to, "requestId": "r", "id": message_id})
        hubs.settle()
        [answer] = frames + alice.take()
        return str(answer.get("code", answer["type"]))

    assert [send("bob", "a-1"), send("bob", "a-1")] == ["ack", "ack"]
    assert [frame["data"] for frame in bob.take() if frame["type"] == "direct"] == ["bob"]
    assert send("carol", "a-2") == "peer_not_found"
    hubs[1].join(peer="carol")
    hubs.settle()
    assert send("carol", "a-2") == "ack"
