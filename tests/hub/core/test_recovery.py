"""`recover.v1`: who comes back gets what it missed, or is told that it can't; `docs/protocol.md` says how."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentbus.hub.core import HistoryLimits, HistoryRule
from agentbus.protocol import PresencePeer
from tests.hub.core.world import KEY, Client, World, app

ROOMS = HistoryRule(pattern="rooms/**")
ROOM = "rooms/1"


def world(*rules: HistoryRule, **config: Any) -> World:
    return World(app(history=rules or (ROOMS,)), **config)


def follow(client: Client, channel: str = ROOM, **options: Any) -> dict[str, Any]:
    """Subscribe with `recover`; return the ack, and leave the rest in the inbox."""
    return client.ask("subscribe", channel=channel, recover=True, **options)


def publish(client: Client, *data: Any, channel: str = ROOM) -> None:
    for each in data:
        assert client.ask("publish", channel=channel, data=each)["type"] == "ack"


def messages(client: Client) -> list[Any]:
    return [frame["data"] for frame in client.take() if frame["type"] == "message"]


def test_the_extension_is_offered_only_where_there_is_a_history() -> None:
    [plain] = World().connect(key=KEY).take()
    assert "recover.v1" not in plain["extensions"]
    [welcome] = world().connect(key=KEY).take()
    assert welcome["extensions"] == ["limits.v1", "dedupe.v1", "recover.v1"]


def test_an_ack_says_where_the_history_stands_and_messages_count_on() -> None:
    scene = world()
    ann, bob = scene.join(), scene.join()
    publish(ann, "before")
    assert follow(bob) == {
        "type": "ack",
        "requestId": "r",
        "position": {"epoch": "life-1-1", "offset": 1},
        "recovered": True,
    }
    bob.take()
    publish(ann, "a", "b")
    frames = bob.take()
    assert [(frame["data"], frame["offset"]) for frame in frames] == [("a", 2), ("b", 3)]


def test_who_does_not_use_it_never_sees_it() -> None:
    scene = world()
    ann, bob = scene.join(), scene.join(ROOM)
    follow(ann)
    publish(scene.join(), "a")
    assert bob.take() == [{"type": "message", "channel": ROOM, "from": "peer-3", "data": "a"}]
    assert bob.ask("publish", channel=ROOM, data=1) == {"type": "ack", "requestId": "r"}


def test_what_was_missed_comes_in_order_after_the_snapshot_and_before_what_is_new() -> None:
    scene = world()
    scene.room = 0
    ann, bob = scene.join(), scene.join()
    publish(ann, 1, 2, 3)
    ack = follow(bob, since={"epoch": "life-1-1", "offset": 1})
    assert ack["recovered"]
    publish(ann, 4)
    assert [frame["type"] for frame in bob.take()] == ["presence"]
    scene.feed(1 << 20)
    publish(ann, 5)
    assert messages(bob) == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("since", "recovered", "follows"),
    [
        ({"epoch": "life-1-1", "offset": 5}, True, []),
        ({"epoch": "life-1-1", "offset": 2}, True, [3, 4, 5]),
        ({"epoch": "life-1-1", "offset": 1}, False, []),
        ({"epoch": "life-1-1", "offset": 6}, False, []),
        ({"epoch": "life-0-1", "offset": 5}, False, []),
        (None, True, []),
    ],
)
def test_each_since_has_its_answer(since: Any, recovered: bool, follows: list[int]) -> None:
    scene = world(HistoryRule(pattern="rooms/**", max_messages=3))
    ann, bob = scene.join(), scene.join()
    publish(ann, 1, 2, 3, 4, 5)
    ack = follow(bob) if since is None else follow(bob, since=since)
    assert (ack["recovered"], ack["position"]["offset"]) == (recovered, 5)
    assert messages(bob) == follows


def test_what_is_too_old_does_not_come_back() -> None:
    scene = world(HistoryRule(pattern="rooms/**", max_age=10.0))
    ann, bob = scene.join(), scene.join()
    publish(ann, 1)
    scene.advance(6)
    publish(ann, 2)
    scene.advance(6)
    assert follow(bob, since={"epoch": "life-1-1", "offset": 1})["recovered"]
    assert messages(bob) == [2]
    assert not follow(scene.join(), since={"epoch": "life-1-1", "offset": 0})["recovered"]


def test_own_messages_are_left_out_over_all_connections_of_a_producer() -> None:
    scene = world()
    ann = scene.join()
    publish(ann, 1)  # before she says who she is
    follow(ann, producer="p" * 32)
    publish(ann, 2)
    ann.drop()
    publish(scene.join(), 3)
    again = scene.join()
    follow(again, producer="p" * 32, since={"epoch": "life-1-1", "offset": 0})
    assert messages(again) == [3]
    stranger = scene.join()
    follow(stranger, since={"epoch": "life-1-1", "offset": 0})
    assert messages(stranger) == [1, 2, 3]


def test_a_follower_learns_the_numbers_of_its_own_messages() -> None:
    scene = world()
    ann = scene.join()
    follow(ann)
    assert ann.ask("publish", channel=ROOM, data=1) == {
        "type": "ack",
        "requestId": "r",
        "channel": ROOM,
        "offset": 1,
    }


def test_one_that_is_behind_does_not_learn_them() -> None:
    scene = world()
    scene.room = 0
    bob = scene.join()
    publish(scene.join(), 1)
    follow(bob, since={"epoch": "life-1-1", "offset": 0})
    assert bob.ask("publish", channel=ROOM, data=2) == {"type": "ack", "requestId": "r"}


def test_metadata_comes_back_for_those_who_ask_for_it() -> None:
    scene = world()
    ann = scene.join(peer="ann", peer_metadata={"name": "Ann"})
    publish(ann, 1)
    bob, eve = scene.join(), scene.join()
    follow(bob, since={"epoch": "life-1-1", "offset": 0}, includeSenderMetadata=True)
    follow(eve, since={"epoch": "life-1-1", "offset": 0})
    [*_, told], [*_, plain] = bob.take(), eve.take()
    assert told["fromMetadata"] == {"name": "Ann"}
    assert "fromMetadata" not in plain


def test_a_channel_without_a_history_is_subscribed_as_ever() -> None:
    scene = world()
    ann, bob = scene.join(), scene.join()
    assert follow(bob, "halls/1") == {"type": "ack", "requestId": "r"}
    bob.take()
    publish(ann, 1, channel="halls/1")
    assert "offset" not in bob.take()[0]


def test_a_second_subscribe_keeps_the_place_and_one_without_recover_gives_it_up() -> None:
    scene = world()
    scene.room = 0
    ann, bob = scene.join(), scene.join()
    publish(ann, 1, 2)
    follow(bob, since={"epoch": "life-1-1", "offset": 0})
    follow(bob, since={"epoch": "life-1-1", "offset": 2})
    scene.feed(1 << 20)
    assert messages(bob) == [1, 2]
    bob.subscribe(ROOM)
    publish(ann, 3)
    [*_, message] = bob.take()
    assert "offset" not in message


def test_a_recovery_takes_as_much_as_there_is_room_for_and_holds_up_nobody() -> None:
    scene = world()
    scene.room = 0
    ann, bob, eve = scene.join(), scene.join(), scene.join()
    follow(eve)
    eve.take()
    publish(ann, *("x" * 1000 for _ in range(100)))
    follow(bob, since={"epoch": "life-1-1", "offset": 0})
    bob.take()
    for _ in range(10):
        scene.feed(10_000)
        assert len(bob.raw) in range(9, 12)
        bob.take()
        publish(ann, "more")
    assert len(messages(eve)) == 110


def test_one_that_falls_out_of_the_history_while_it_recovers_is_closed_and_finds_the_gap() -> None:
    scene = world(HistoryRule(pattern="rooms/**", max_messages=3))
    scene.room = 0
    ann, bob = scene.join(), scene.join()
    publish(ann, 1, 2, 3)
    follow(bob, since={"epoch": "life-1-1", "offset": 0})
    publish(ann, 4)
    scene.feed(1 << 20)
    assert bob.close_code == 1013
    again = scene.join()
    assert not follow(again, since={"epoch": "life-1-1", "offset": 0})["recovered"]


def test_what_a_bare_publish_of_the_operator_s_brings_is_recorded_too() -> None:
    scene = world()
    bob = scene.join()

    published = scene.hub.publish("demo", ROOM, msgspec.Raw(b"1"), PresencePeer("system"), scene.now)
    assert published is not None
    follow(bob, since={"epoch": "life-1-1", "offset": 0})
    assert messages(bob) == [1]


def test_all_histories_of_an_app_share_a_bound_and_followed_ones_are_not_forgotten() -> None:
    limits = HistoryLimits(max_bytes=20_000, max_channels=3)
    scene = world(history=limits)
    histories = scene.hub._apps["demo"].history  # pyright: ignore[reportPrivateUsage] -- it is about memory
    assert histories is not None
    ann, bob = scene.join(), scene.join()
    epoch = follow(bob, "rooms/followed")["position"]["epoch"]
    for number in range(200):
        publish(ann, "x" * 300, channel=f"rooms/{number % 7}")
        assert histories.held_bytes <= limits.max_bytes
        assert len(histories) <= limits.max_channels
    assert histories.forgotten > 0
    assert follow(bob, "rooms/followed")["position"]["epoch"] == epoch


def test_when_everyone_has_left_nothing_but_the_history_is_left() -> None:
    scene = world()
    scene.room = 0
    ann, bob = scene.join(), scene.join()
    publish(ann, 1)
    follow(bob, since={"epoch": "life-1-1", "offset": 0})
    bob.drop()
    ann.drop()
    scene.feed(1 << 20)
    assert scene.hub._apps["demo"].channels == {}  # pyright: ignore[reportPrivateUsage] -- it is about memory


def test_another_configuration_keeps_histories_and_an_app_that_comes_back_begins_anew() -> None:
    scene = world()
    publish(scene.join(), 1)
    follow(bob := scene.join())
    config = scene.hub.config
    scene.execute(scene.hub.reconfigure(config, scene.now))
    publish(scene.join(), 2)
    assert messages(bob) == [2]
    scene.execute(scene.hub.reconfigure(replace(config, apps=()), scene.now))
    scene.execute(scene.hub.reconfigure(config, scene.now))
    position = follow(scene.join())["position"]
    assert position["offset"] == 0
    assert position["epoch"] != "life-1-1"


# -- against a model -----------------------------------------------------------------------------------------

HELD = 4
MAX_AGE = 30.0


class Follower:
    """A client that goes and comes back, and what it should have heard."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.client: Client | None = None
        self.place: dict[str, Any] | None = None
        self.heard: list[int] = []
        self.expected: list[int] = []


class Model:
    """The hub with its followers, beside a log of everything that was published."""

    def __init__(self) -> None:
        self.scene = world(HistoryRule(pattern="rooms/**", max_messages=HELD, max_age=MAX_AGE))
        self.scene.room = 0
        self.log: list[tuple[str, float]] = []  # who, when; its place is the message
        self.first = 1
        self.followers = [Follower(f"{letter}" * 32) for letter in "abc"]

    def come(self, follower: Follower) -> None:
        client = follower.client = self.scene.join()
        oldest = self.scene.now.wall - MAX_AGE
        while self.first <= len(self.log) and self.log[self.first - 1][1] < oldest:
            self.first += 1
        options: dict[str, Any] = {} if follower.place is None else {"since": follower.place}
        ack = follow(client, producer=follower.name, **options)
        assert ack["position"]["offset"] == len(self.log)
        reached = follower.place is None or follower.place["offset"] + 1 >= self.first
        assert ack["recovered"] == reached
        place: dict[str, Any] | None = follower.place
        if place is None or not reached:
            place = ack["position"]
        follower.place = place
        had: int = place["offset"] if place is not None else 0
        follower.expected = [
            number
            for number, (author, _) in enumerate(self.log, 1)
            if number > had and author != follower.name
        ]
        follower.heard = []

    def come_or_go(self, follower: Follower) -> None:
        if follower.client is None:
            self.come(follower)
        else:
            self.go(follower)

    def go(self, follower: Follower) -> None:
        self.read(follower)
        if follower.client is not None and not follower.client.gone:
            follower.client.drop()
        follower.client = None

    def publish(self, follower: Follower) -> None:
        if follower.client is None or follower.client.gone:
            return
        ack = follower.client.say(
            {"type": "publish", "channel": ROOM, "data": len(self.log) + 1, "requestId": "p"}
        )
        self.log.append((follower.name, self.scene.now.wall))
        self.first = max(self.first, len(self.log) + 1 - HELD)
        self.take(follower, ack)
        for other in self.followers:
            if other is not follower and other.client is not None:
                other.expected.append(len(self.log))

    def read(self, follower: Follower) -> None:
        if follower.client is not None:
            self.take(follower, follower.client.take())

    def take(self, follower: Follower, frames: list[dict[str, Any]]) -> None:
        for frame in frames:
            number = frame.get("offset")
            if number is None or follower.place is None:
                continue
            if frame["type"] == "message":
                assert frame["data"] == number
                follower.heard.append(number)
            follower.place = {"epoch": follower.place["epoch"], "offset": number}

    def check(self, follower: Follower) -> None:
        self.read(follower)
        assert follower.heard == follower.expected[: len(follower.heard)]


steps = st.one_of(
    st.tuples(st.just("come_or_go"), st.integers(0, 2)),
    st.tuples(st.just("publish"), st.integers(0, 2)),
    st.tuples(st.just("publish"), st.integers(0, 2)),
    st.tuples(st.just("feed"), st.integers(1, 400)),
    st.tuples(st.sampled_from(["check", "wait"]), st.integers(0, 2)),
)


@given(st.lists(steps, min_size=20, max_size=60))
def test_followers_that_come_and_go_hear_what_a_log_says(plan: list[tuple[str, int]]) -> None:
    model = Model()
    for what, number in plan:
        if what == "feed":
            model.scene.feed(number)
        elif what == "wait":
            model.scene.advance(10.0 * number)
        else:
            getattr(model, what)(model.followers[number])
    model.scene.feed(1 << 20)
    for follower in model.followers:
        model.check(follower)
        if follower.client is not None and not follower.client.gone:
            assert follower.heard == follower.expected


def test_offsets_and_positions_are_what_the_page_says() -> None:
    """An `ack` of the page can be read by a client that knows nothing of extensions."""
    scene = world()
    bob = scene.join()
    bob.say({"type": "subscribe", "channel": ROOM, "recover": True})
    publish(scene.join(), 1)
    assert json.loads(bob.raw[-1])["offset"] == 1
