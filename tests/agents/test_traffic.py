from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agentbus.agents.agenda import Agenda
from agentbus.agents.directory import Who
from agentbus.agents.envelope import Envelope, Packet, Stamp, encode_envelope
from agentbus.agents.link import Link
from agentbus.agents.link_queue import LinkOptions
from agentbus.agents.outcome import Outcome
from agentbus.agents.traffic import Traffic
from agentbus.protocol.pacer import Pace, Pacer

HERE = Stamp("here", "1")


class Station:
    """A node's traffic to some others, all reachable until the test says otherwise."""

    def __init__(self, *nodes: str, pace: Pace | None = None) -> None:
        self.away: set[str] = set()
        self.now = 10.0
        self.traffic = Traffic(Pacer(pace or Pace(), self.now), self.route, 2000)
        self.traffic.online(self.now)
        for node in nodes:
            self.traffic.add(Link(HERE, Stamp(node, "1"), LinkOptions(), self.now))

    def route(self, stamp: Stamp) -> str | None:
        return None if stamp.node in self.away else f"peer-{stamp.node}"

    def link(self, node: str) -> Link:
        link = self.traffic.link(Stamp(node, "1"))
        assert link is not None
        return link

    def post(self, node: str, count: int = 1, size: int = 0, **arguments: Any) -> None:
        link = self.link(node)
        for _ in range(count):
            link.post(encode_envelope(Envelope(id="x" * (size or 1))), **arguments)
        self.traffic.touch(link)

    def frames(self) -> list[str | None]:
        return [frame.peer for frame in self.traffic.frames(self.now)]

    def wait(self) -> bool:
        at = self.traffic.next_deadline(self.now)
        if at is None:
            return False
        assert at > self.now, "a deadline in the past would spin"
        self.now = at
        return True


def test_one_turn_s_envelopes_share_a_frame_per_node() -> None:
    station = Station("a", "b")
    station.post("a", 5)
    station.post("b", 5)
    assert station.frames() == ["peer-a", "peer-b"]
    assert station.frames() == []


def test_links_take_turns() -> None:
    station = Station("a", "b")
    station.post("a", 3, size=900)
    station.post("b", 2, size=900)
    assert station.frames() == ["peer-a", "peer-b", "peer-a", "peer-b", "peer-a"]


def test_the_directory_goes_first_then_control_traffic() -> None:
    station = Station("a", "b", pace=Pace(rate=1, burst=3, reserve=2))
    station.post("a", 4, size=900)
    assert station.frames() == ["peer-a"]
    station.post("b", urgent=True)
    station.traffic.say(Who("ns"), None)
    assert station.frames() == [None, "peer-b"], "the reserve is for these"
    assert station.wait()


def test_the_pace_is_kept_and_all_arrives_in_the_end() -> None:
    station = Station("a", pace=Pace(rate=10, burst=5, reserve=0))
    station.post("a", 40, size=900)
    sent, start = len(station.frames()), station.now
    while sent < 20:
        assert station.wait()
        sent += len(station.frames())
    assert station.now - start >= (20 - 5) / 10 - 0.01


def test_nothing_leaves_for_who_is_away_until_it_is_back() -> None:
    station = Station("a", "b")
    station.away.add("a")
    station.post("a")
    station.post("b")
    assert station.frames() == ["peer-b"]
    station.away.clear()
    station.traffic.rewind(station.link("a"), station.now)
    assert station.frames() == ["peer-a"]


def test_what_waits_for_who_is_away_expires_in_time() -> None:
    station = Station("a")
    station.away.add("a")
    station.post("a", deadline=12.0, token="late")
    assert station.frames() == []
    assert station.wait()
    assert station.frames() == []
    assert [settled.outcome for settled in station.traffic.settled()] == [Outcome.EXPIRED]
    assert station.traffic.next_deadline(station.now) is None


def test_without_a_connection_nothing_leaves_and_afterwards_all_is_sent_again() -> None:
    station = Station("a")
    station.post("a")
    assert station.frames() == ["peer-a"]
    station.traffic.say(Who("ns"), None)
    station.traffic.offline()
    station.post("a")
    assert station.frames() == []
    station.traffic.online(station.now)
    frames = list(station.traffic.frames(station.now))
    assert len(frames) == 1
    assert len(msgspec.json.decode(frames[0].data, type=Packet).items) == 2


def test_receipts_wait_while_tokens_are_scarce() -> None:
    station = Station("a", pace=Pace(rate=1, burst=10, reserve=0))
    link = station.link("a")
    link.settle(1, Outcome.DELIVERED, station.now)
    station.traffic.touch(link)
    assert station.frames() == ["peer-a"], "plenty of tokens"
    station.traffic.pacer.spend(station.now)
    for _ in range(5):
        station.traffic.pacer.spend(station.now)
    link.settle(2, Outcome.DELIVERED, station.now)
    station.traffic.touch(link)
    assert station.frames() == []
    start = station.now
    while not station.frames():
        assert station.wait()
    assert 0.0 < station.now - start <= 0.11


def test_a_link_that_was_removed_is_silent() -> None:
    station = Station("a")
    station.post("a")
    link = station.traffic.remove(Stamp("a", "1"))
    assert link is not None
    assert station.frames() == []
    assert station.traffic.links() == []
    assert station.traffic.next_deadline(station.now) is None


def test_directory_messages_are_bounded() -> None:
    traffic = Traffic(Pacer(Pace(), 0.0), lambda _stamp: None, 2000, max_control=3)
    for _ in range(5):
        traffic.say(Who("ns"), None)
    assert traffic.dropped == 2


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.floats(0, 100)))))
def test_an_agenda_gives_each_key_once_in_order(changes: list[tuple[int, float | None]]) -> None:
    agenda: Agenda[int] = Agenda()
    truth: dict[int, float] = {}
    for key, at in changes:
        agenda.set(key, at)
        truth.pop(key, None)
        if at is not None:
            truth[key] = at
        assert agenda.next() == min(truth.values(), default=None)
    due = agenda.pop_due(50.0)
    assert sorted(due) == sorted(key for key, at in truth.items() if at <= 50)
    assert [truth[key] for key in due] == sorted(truth[key] for key in due)
    assert agenda.next() == min((at for at in truth.values() if at > 50), default=None)


def test_an_agenda_forgets_what_was_changed() -> None:
    agenda: Agenda[str] = Agenda()
    for number in range(10_000):
        agenda.set("key", float(number))
    assert len(agenda._heap) < 200  # pyright: ignore[reportPrivateUsage] -- its memory is what is tested
