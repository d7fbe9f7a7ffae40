"""The backplane is away: this hub serves its own clients, says what it cannot do, and heals by itself."""

from __future__ import annotations

from tests.hub.core.cluster.test_routing import messages
from tests.hub.core.cluster.world import BEAT, LEASE, ClusterWorld


def away() -> ClusterWorld:
    hubs = ClusterWorld(2)
    hubs[1].join("room", peer="bob")
    hubs.settle()
    hubs.exchange.take_away()
    hubs.settle()
    return hubs


def test_local_traffic_goes_on_without_the_backplane() -> None:
    hubs = away()
    alice, carol = hubs[0].world.join("own", peer="alice"), hubs[0].world.join("own", peer="carol")
    assert alice.ask("publish", channel="own", data=1) == {"type": "ack", "requestId": "r"}
    assert alice.ask("send", to="carol", data=2) == {"type": "ack", "requestId": "r"}
    assert messages(carol.inbox) == [1]
    assert messages(carol.inbox, "direct") == [2]


def test_requests_that_need_other_hubs_answer_backend_error() -> None:
    hubs = away()
    alice, carol = hubs[0].world.join(peer="alice"), hubs[0].world.join("room", peer="carol")
    for answer in (
        alice.ask("send", to="bob", data=1),
        alice.ask("send", to="nobody", data=1),  # who knows?
        alice.ask("publish", channel="room", data=1),
    ):
        assert (answer["code"], answer["requestId"]) == ("backend_error", "r")
    assert messages(carol.inbox) == [1]  # the subscribers here have it all the same


def test_a_send_that_waits_when_the_backplane_goes_away_answers_backend_error_at_once() -> None:
    hubs = ClusterWorld(2)
    alice = hubs[0].join()
    hubs[1].join(peer="bob")
    alice.say({"type": "send", "to": "bob", "data": 1, "requestId": "s"})
    hubs.exchange.take_away()
    hubs.settle()
    assert [frame["code"] for frame in alice.take()] == ["backend_error"]


def test_after_the_outage_all_is_as_it_was() -> None:
    hubs = away()
    hubs.advance(3 * LEASE)
    assert hubs[0].peers("room") == []
    hubs.exchange.bring_back()
    hubs.settle()
    assert hubs[0].core.reachable
    assert hubs[0].peers("room") == ["bob"]
    alice = hubs[0].join()
    alice.say({"type": "send", "to": "bob", "data": 1, "requestId": "s"})
    hubs.settle()
    assert alice.take() == [{"type": "ack", "requestId": "s"}]


def test_a_hub_that_does_not_hear_itself_knows_that_the_backplane_is_away() -> None:
    hubs = ClusterWorld(2)
    assert hubs[0].core.reachable
    hubs.exchange.carry = lambda *_: None  # type: ignore[method-assign] -- silent: nobody is told
    hubs.advance(5 * BEAT)
    assert not hubs[0].core.reachable


def test_who_keeps_a_history_hears_of_what_may_be_missing() -> None:
    hubs = ClusterWorld(2)
    gaps: list[str] = []
    hubs[0].core.on_gap = lambda: gaps.append("gap")
    bob = hubs[1].join(peer="bob")
    hubs.advance(2 * BEAT)
    assert gaps == []
    hubs.exchange.swallow(1)
    bob.subscribe("room")
    hubs.advance(2 * BEAT)
    assert gaps == ["gap"]
    hubs.exchange.take_away()
    hubs.settle()
    assert gaps == ["gap"] * 2
    hubs.exchange.bring_back()
    hubs.settle()
    hubs.kill(hubs[1])
    hubs.advance(2 * LEASE)
    assert gaps == ["gap"] * 3


def test_nothing_is_kept_for_other_hubs_while_the_backplane_is_away() -> None:
    hubs = away()
    alice = hubs[0].world.join(peer="alice")
    for number in range(10):
        alice.ask("publish", channel="room", data=number)
        alice.ask("subscribe", channel=f"c{number}")
    assert all(parcel.to is None for parcel in hubs[0].core.take())
