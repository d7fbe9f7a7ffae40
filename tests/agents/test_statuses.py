"""Statuses between nodes: told to who asks, only changes, and rarely."""

from __future__ import annotations

import msgspec
import pytest

from agentbus.agents.directory import AgentCondition, AgentEntry, Interest, NodeEntry, Statuses
from agentbus.agents.effects import Direct, Effect, Spread
from agentbus.agents.envelope import Stamp
from agentbus.agents.nodes import NodeRecord, NodeState, NodeTable
from agentbus.agents.statuses import StatusExchange, StatusOptions

HERE, THERE = Stamp("here", "1"), Stamp("there", "1")
ROOM = 30_000


class Station:
    """One node's statuses, and what they sent."""

    def __init__(self, options: StatusOptions | None = None, *, room: int = ROOM) -> None:
        self.sent: list[Effect] = []
        self.nodes = NodeTable("ns", 10, 1000)
        self.statuses = StatusExchange("ns", self.nodes, options or StatusOptions(), self.sent.append)
        self.conditions = [AgentCondition("a", "idle"), AgentCondition("b", "idle")]
        self.statuses.sample = lambda: self.conditions
        self.statuses.online()
        self.room = room

    def interest(self, peer: str, now: float, *, afresh: bool = False) -> None:
        self.statuses.heard_interest(Interest("ns", afresh), peer, now)

    def run(self, now: float) -> list[Effect]:
        """Let what is due by then happen, and give what was sent."""
        while (at := self.statuses.next_deadline()) is not None and at <= now:
            self.statuses.tick(HERE, self.room, at)
        sent, self.sent[:] = list(self.sent), []
        return sent

    def told(self, now: float) -> list[list[str]]:
        """Give the names in the messages that were sent by then."""
        messages = [getattr(effect, "message", None) for effect in self.run(now)]
        return [
            [each.name for each in message.conditions]
            for message in messages
            if isinstance(message, Statuses)
        ]

    def other_node(self) -> NodeRecord:
        record = self.nodes.enter(THERE, "peer", NodeState.ALIVE, 0.0)
        assert record is not None
        self.nodes.take_entry(record, NodeEntry(THERE, 0, 1, (AgentEntry("x"),)))
        return record


def test_nothing_is_told_to_nobody() -> None:
    station = Station()
    assert station.statuses.next_deadline() is None
    assert station.run(1000.0) == []


def test_only_changes_are_told_and_at_most_every_two_seconds() -> None:
    station = Station()
    station.interest("p", 10.0)
    assert station.told(10.0) == [["a", "b"]]
    assert station.told(19.0) == [], "nothing has changed"
    station.conditions[0] = AgentCondition("a", "busy", 3)
    assert station.told(19.9) == []
    assert station.told(20.0) == [["a"]]
    changes = 0
    for step in range(200):
        station.conditions[1] = AgentCondition("b", "busy", step)
        changes += len(station.told(20.0 + step * 0.1))
    assert 9 <= changes <= 11, "one in two seconds, over twenty"


def test_an_interest_ends_after_a_minute_and_starts_with_everything() -> None:
    station = Station()
    station.interest("p", 0.0)
    station.told(59.0)
    assert station.run(100.0) == []
    assert station.statuses.next_deadline() is None, "nobody wants to know any more"
    station.interest("p", 200.0)
    assert station.told(200.0) == [["a", "b"]]
    station.interest("p", 230.0)
    assert station.told(240.0) == [], "who renews its interest knows the rest"
    station.interest("p", 241.0, afresh=True)
    assert station.told(250.0) == [["a", "b"]]


def test_a_few_get_a_frame_each_and_many_get_one_for_all() -> None:
    station = Station(StatusOptions(max_direct=2, max_interested=3))
    for peer in ("p", "q"):
        station.interest(peer, 0.0)
    assert [type(effect) for effect in station.run(0.0)] == [Direct, Direct]
    for peer in ("r", "one too many"):
        station.interest(peer, 1.0)
    assert [type(effect) for effect in station.run(2.0)] == [Spread]


@pytest.mark.parametrize("room", [400, 1000, ROOM])
def test_what_does_not_fit_a_frame_comes_with_the_next_and_none_is_left_out(room: int) -> None:
    station = Station(room=room)
    station.conditions = [AgentCondition(f"agent-{number}", "busy", number) for number in range(100)]
    station.interest("p", 0.0)
    told: set[str] = set()
    for step in range(29):
        for effect in station.run(step * 2.0):
            assert isinstance(effect, Direct)
            assert isinstance(effect.message, Statuses)
            assert len(msgspec.json.encode(effect.message)) <= room
            told |= {condition.name for condition in effect.message.conditions}
        station.conditions = [
            AgentCondition(each.name, each.status, each.queued + 1) for each in station.conditions
        ]
    assert len(told) == 100


def test_an_interest_of_ours_is_said_once_and_renewed_while_it_lasts() -> None:
    station = Station()
    for now in range(100):
        station.statuses.want(float(now))
    said = station.run(100.0)
    assert said == [Spread(Interest("ns", afresh=True))] + [Spread(Interest("ns"))] * 3


def test_who_lost_interest_or_the_connection_relies_on_nothing_old() -> None:
    station = Station()
    record = station.other_node()
    news = Statuses("ns", THERE, (AgentCondition("x", "busy", 2), AgentCondition("unknown", "idle")))
    station.statuses.heard(news)
    assert record.conditions == {}, "nobody here wanted to know"
    station.statuses.want(0.0)
    station.statuses.heard(news)
    station.statuses.heard(Statuses("ns", Stamp("there", "2"), (AgentCondition("x", "idle"),)))
    assert record.conditions == {"x": AgentCondition("x", "busy", 2)}
    station.statuses.want(100.0)
    assert record.conditions == {}
    station.statuses.offline()
    station.statuses.want(101.0)
    station.statuses.online()
    station.run(101.0)
    station.statuses.want(102.0)
    assert station.run(102.0) == [Spread(Interest("ns", afresh=True))]


def test_nodes_that_join_while_somebody_wants_to_know_are_told_once_together() -> None:
    station = Station()
    station.statuses.node_up(0.0)
    assert station.run(10.0) == []
    station.statuses.want(10.0)
    station.run(10.0)
    for _ in range(5):
        station.statuses.node_up(11.0)
    assert station.run(13.0) == [Spread(Interest("ns"))]
