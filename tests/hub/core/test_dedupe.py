"""`dedupe.v1`: a repeat of an id is acked and delivered to nobody."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agentbus.hub.core import DedupeLimits, HistoryRule
from agentbus.hub.core.dedupe import Dedupe
from tests.hub.core.world import KEY, World, app

ACK = {"type": "ack", "requestId": "r"}


def data(frames: list[dict[str, Any]]) -> list[Any]:
    return [frame["data"] for frame in frames]


def test_a_repeat_is_acked_and_not_delivered_again_also_from_another_connection() -> None:
    world = World()
    listener, ann = world.join("room"), world.join()
    assert ann.ask("publish", channel="room", data=1, id="a-1") == ACK
    assert ann.ask("publish", channel="room", data=1, id="a-1") == ACK
    ann.drop()
    again = world.join()
    assert again.ask("publish", channel="room", data=1, id="a-1") == ACK
    assert again.ask("publish", channel="room", data=2, id="a-2") == ACK
    assert data(listener.take()) == [1, 2]


def test_a_repeated_send_is_not_delivered_again() -> None:
    world = World()
    ann, bob = world.join(), world.join()
    for _ in range(2):
        assert ann.ask("send", to=bob.peer_id, data=1, id="a-1") == ACK
    assert data(bob.take()) == [1]


def test_ids_of_two_credentials_never_meet() -> None:
    world = World()
    listener = world.join("room")
    for peer in ("ann", "bob"):
        assert world.join(peer=peer).ask("publish", channel="room", data=peer, id="1") == ACK
    assert world.join().ask("publish", channel="room", data="key", id="1") == ACK
    assert world.join(peer="ann").ask("publish", channel="room", data="again", id="1") == ACK
    assert data(listener.take()) == ["ann", "bob", "key"]


def test_a_refused_one_may_be_tried_again() -> None:
    world = World(app(max_messages_per_period=1))
    ann = world.join()
    bob = world.join()
    assert ann.ask("send", to="away", data=1, id="a-1")["code"] == "peer_not_found"
    assert ann.ask("send", to=bob.peer_id, data=1, id="a-1") == ACK
    assert ann.ask("send", to=bob.peer_id, data=1, id="a-1") == ACK  # a repeat counts against no quota
    assert ann.ask("send", to=bob.peer_id, data=1, id="a-2")["code"] == "over_message_quota"


def test_a_repeat_is_recorded_once() -> None:
    world = World(app(history=(HistoryRule(pattern="**"),)))
    ann = world.join()
    for _ in range(3):
        ann.ask("publish", channel="room", data=1, id="a-1")
    assert ann.ask("subscribe", channel="room", recover=True)["position"]["offset"] == 1


def test_a_repeat_passes_the_same_checks() -> None:
    world = World()
    ann = world.join()
    ann.ask("publish", channel="room", data=1, id="a-1")
    assert ann.ask("publish", channel="_system/x", data=1, id="a-1")["code"] == "channel_reserved"
    assert ann.ask("publish", channel="room", id="a-1")["code"] == "missing_data"


def test_a_hub_that_does_not_offer_it_delivers_each_one() -> None:
    world = World(extensions=())
    [welcome] = world.connect(key=KEY).take()
    assert "dedupe" not in welcome
    listener, ann = world.join("room"), world.join()
    for _ in range(2):
        ann.ask("publish", channel="room", data=1, id="a-1")
    assert data(listener.take()) == [1, 1]


def test_after_the_window_an_id_is_new() -> None:
    world = World(dedupe=DedupeLimits(window=60.0))
    listener, ann = world.join("room"), world.join()
    for wait in (0.0, 59.0, 2.0):
        world.advance(wait)
        ann.ask("publish", channel="room", data=wait, id="a-1")
    assert data(listener.take()) == [0.0, 2.0]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 40)), max_size=60))
def test_it_knows_what_a_list_of_all_ids_knows(plan: list[tuple[int, int]]) -> None:
    known, accepted, now = Dedupe(DedupeLimits(window=60.0, max_ids=1000)), list[tuple[str, float]](), 0.0
    for number, wait in plan:
        now += wait
        name = f"id-{number}"
        expected = any(one == name and now - at <= 60.0 for one, at in accepted)
        assert known.is_repeat("who", name, now) == expected
        if not expected:
            known.accepted("who", name, now)
            accepted.append((name, now))


def test_no_more_ids_are_remembered_than_may_and_the_oldest_go_first() -> None:
    known = Dedupe(DedupeLimits(max_ids=10))
    for number in range(100):
        known.accepted("who", str(number), 0.0)
        assert len(known) <= 10
    assert known.is_repeat("who", "90", 0.0)
    assert not known.is_repeat("who", "89", 0.0)
    assert known.forgotten == 90


def test_after_a_rush_the_ids_that_are_too_old_go() -> None:
    known = Dedupe(DedupeLimits(window=60.0))
    for number in range(100):
        known.accepted("who", str(number), 0.0)
    for number in range(100):
        known.accepted("who", f"later {number}", 100.0)
    assert len(known) == 100
    assert known.forgotten == 0
