"""Mailboxes: each send to a peer that is away ends in one state."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.hub.core import Mailboxes
from agentbus.hub.core.post import PostOffice
from tests.hub.core.world import Client, World, app

BOX = "_system/direct"
EPOCH = "life-1-m1"


def world(**limits: Any) -> World:
    return World(app(mailboxes=Mailboxes(**limits)))


def office(scene: World) -> PostOffice:
    post = scene.hub._apps["demo"].post  # pyright: ignore[reportPrivateUsage] -- it is about what is held
    assert post is not None
    return post


def follow(client: Client, offset: int | None = None, epoch: str = EPOCH) -> dict[str, Any]:
    since = {} if offset is None else {"since": {"epoch": epoch, "offset": offset}}
    return client.ask("subscribe", channel=BOX, recover=True, **since)


def send(client: Client, data: Any, to: str = "bob") -> str | None:
    return client.ask("send", to=to, data=data).get("code")


def directs(client: Client) -> list[tuple[Any, int | None]]:
    return [(frame["data"], frame.get("offset")) for frame in client.take() if frame["type"] == "direct"]


def test_what_is_sent_while_a_peer_is_away_waits_for_it_in_order() -> None:
    scene = world()
    ann, bob = scene.join(), scene.join(peer="bob")
    assert follow(bob) == {
        "type": "ack",
        "requestId": "r",
        "position": {"epoch": EPOCH, "offset": 0},
        "recovered": True,
    }
    assert send(ann, 1) is None
    assert directs(bob) == [(1, 1)]
    bob.drop()
    assert [send(ann, number) for number in (2, 3)] == [None, None]
    again = scene.join(peer="bob")
    assert follow(again, 1)["recovered"]
    assert send(ann, 4) is None
    assert directs(again) == [(2, 2), (3, 3), (4, 4)]
    assert (office(scene).waited, office(scene).recovered, office(scene).expired) == (2, 2, 0)


def test_what_a_cut_swallowed_is_in_the_mailbox_too() -> None:
    scene = world()
    ann, bob = scene.join(), scene.join(peer="bob")
    follow(bob)
    send(ann, 1)
    bob.drop()  # it has not come to read it
    again = scene.join(peer="bob")
    follow(again, 0)
    assert directs(again) == [(1, 1)]


def test_without_a_mailbox_a_peer_that_is_away_is_not_found() -> None:
    scene = world()
    ann = scene.join()
    scene.join(peer="bob").drop()
    assert send(ann, 1) == "peer_not_found"
    plain = World()
    assert plain.join(peer="bob").ask("subscribe", channel=BOX, recover=True)["code"] == "channel_reserved"


def test_only_a_peer_with_a_token_has_one_and_only_with_recover() -> None:
    scene = world()
    assert follow(scene.join())["code"] == "action_not_permitted"
    bob = scene.join(peer="bob")
    assert bob.ask("subscribe", channel=BOX)["code"] == "channel_reserved"
    assert bob.ask("subscribe", channel="_system/other", recover=True)["code"] == "channel_reserved"


@pytest.mark.parametrize("limits", [{"max_messages": 2}, {"max_bytes": 1024}])
def test_a_full_mailbox_refuses_and_keeps_what_it_has(limits: dict[str, int]) -> None:
    scene = world(**limits)
    ann, bob = scene.join(), scene.join(peer="bob")
    follow(bob)
    bob.drop()
    answers = [send(ann, "x" * 200) for _ in range(5)]
    assert answers == [None, None, "mailbox_full", "mailbox_full", "mailbox_full"]
    again = scene.join(peer="bob")
    assert follow(again, 0)["recovered"]
    assert len(directs(again)) == 2
    assert office(scene).refused == 3


def test_what_waits_for_too_long_expires_and_the_peer_is_told() -> None:
    scene = world(max_age=60.0)
    ann, bob = scene.join(), scene.join(peer="bob")
    follow(bob)
    bob.drop()
    send(ann, 1)
    scene.advance(61)
    assert send(ann, 2) == "peer_not_found"
    again = scene.join(peer="bob")
    ack = follow(again, 0)
    assert not ack["recovered"]
    assert ack["position"]["epoch"] != EPOCH
    assert office(scene).expired == 1


def test_a_message_may_expire_before_its_mailbox() -> None:
    scene = world(max_age=60.0)
    ann, bob = scene.join(), scene.join(peer="bob")
    follow(bob)
    send(ann, 1)
    scene.advance(50)
    bob.drop()
    send(ann, 2)
    scene.advance(55)
    again = scene.join(peer="bob")
    assert follow(again, 1)["recovered"]
    assert directs(again) == [(2, 2)]
    third = scene.join(peer="bob")
    assert not follow(third, 0)["recovered"]


def test_a_mailbox_that_was_given_up_is_closed() -> None:
    scene = world()
    ann, bob = scene.join(), scene.join(peer="bob")
    follow(bob)
    assert bob.ask("unsubscribe", channel=BOX)["type"] == "ack"
    assert len(office(scene)) == 0
    assert send(ann, 1) is None
    assert directs(bob) == [(1, None)]
    bob.drop()
    assert send(ann, 1) == "peer_not_found"


def test_connections_of_the_peer_that_do_not_follow_get_it_as_ever() -> None:
    scene = world()
    ann, bob, other = scene.join(), scene.join(peer="bob"), scene.join(peer="bob")
    follow(bob)
    bob.take()
    send(ann, 1)
    assert (directs(bob), directs(other)) == ([(1, 1)], [(1, None)])


def test_there_are_only_so_many_and_those_that_are_over_make_room() -> None:
    scene = world(max_peers=2, max_age=60.0)
    for peer in ("a", "b"):
        follow(scene.join(peer=peer))
    late = scene.join(peer="c")
    assert "position" not in follow(late)
    scene.join(peer="a")
    for session in list(scene.hub._apps["demo"].sessions()):  # pyright: ignore[reportPrivateUsage]
        session.handle.drop()
    scene.advance(61)
    assert "position" in follow(scene.join(peer="c"))
    assert len(office(scene)) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["come", "go", "send", "send", "wait"]), st.integers(1, 40)), max_size=40
    )
)
def test_every_send_ends_in_one_state(plan: list[tuple[str, int]]) -> None:
    scene = world(max_messages=3, max_age=60.0)
    ann = scene.join()
    bob: Client | None = None
    place: dict[str, Any] | None = None
    acked, refused, heard, handed = list[int](), 0, list[int](), 0
    for number, (what, seconds) in enumerate(plan):
        if what == "wait":
            scene.advance(seconds)
        elif what == "come" and bob is None:
            bob = scene.join(peer="bob")
            options = {} if place is None else {"since": place}
            ack = bob.ask("subscribe", channel=BOX, recover=True, **options)
            place = place if ack["recovered"] and place is not None else ack["position"]
        elif what == "go" and bob is not None:
            bob.drop()
            bob = None
        elif what == "send":
            if send(ann, number) is None:
                acked.append(number)
                handed += bob is not None
            else:
                refused += 1
        for frame in [] if bob is None else bob.take():
            if frame["type"] == "direct":
                assert place is not None
                place = {"epoch": place["epoch"], "offset": frame["offset"]}
                heard.append(frame["data"])
    post = office(scene)
    sent = sum(what == "send" for what, _ in plan)
    waiting = sum(box.waiting for box in post._boxes.values())  # pyright: ignore[reportPrivateUsage]
    assert sent == len(acked) + refused
    assert len(acked) == handed + post.waited
    assert post.waited == post.recovered + post.expired + waiting
    assert heard == sorted(set(heard))
    assert set(heard) <= set(acked)
    assert len(heard) >= handed
