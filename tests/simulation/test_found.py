"""What seeds have found, as the smallest plans that showed it."""

from __future__ import annotations

import pytest

from agentbus.testing.simulation import ClientSpec, NodeSpec, Plan, QueueSpec, play
from agentbus.testing.simulation.bus.steps import SendLetters, StartNode
from agentbus.testing.simulation.operations import Connect, Subscribe
from agentbus.testing.simulation.scenarios import DEFAULT_HUB
from agentbus.testing.simulation.troubles import CutAfter, Delaying, Dropping, Partition, Pause

NODES = (NodeSpec(name="alice"), NodeSpec(name="bob"))


def test_a_subscribe_whose_ack_comes_late_is_followed_by_a_snapshot() -> None:
    plan = Plan(
        seed=1,
        scenario="by hand",
        clients=(ClientSpec(name="alice"), ClientSpec(name="bob", inactivity_timeout=60.0)),
        steps=(
            Connect(at=0.0, who="alice"),
            Connect(at=0.0, who="bob"),
            Subscribe(at=1.0, who="alice", channel="rooms/a"),
            Partition(at=2.0, who="bob", toward="client", lasts=17.0),
            Subscribe(at=2.5, who="bob", channel="rooms/a"),
        ),
    )
    assert play(plan).violations == []


@pytest.mark.parametrize("size", range(600, 1000, 50))
def test_a_cut_while_a_node_arrives_leaves_no_failure_unread(size: int) -> None:
    plan = Plan(
        seed=1,
        scenario="by hand",
        nodes=NODES,
        hub=DEFAULT_HUB,
        steps=(
            *(StartNode(at=0.0, who=node.name) for node in NODES),
            CutAfter(at=5.0, who=None, lasts=18.0, size=size, toward="client"),
            SendLetters(at=5.1, who="bob", to="alice", count=5),
        ),
    )
    assert play(plan).violations == []


def test_a_node_whose_first_requests_are_answered_too_late_joins_all_the_same() -> None:
    plan = Plan(
        seed=1,
        scenario="by hand",
        nodes=NODES,
        latency=0.01,
        steps=(
            StartNode(at=0.0, who="bob"),
            Delaying(at=0.05, who=None, lasts=20.0, seconds=16.0),
        ),
    )
    assert play(plan).violations == []


@pytest.mark.parametrize("at", [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4])
def test_a_node_whose_introduction_is_acked_too_late_has_started(at: float) -> None:
    plan = Plan(
        seed=1,
        scenario="by hand",
        nodes=NODES,
        latency=0.05,
        steps=(
            *(StartNode(at=0.0, who=node.name) for node in NODES),
            Partition(at=at, who=None, lasts=24.5, toward="client"),
        ),
    )
    assert play(plan).violations == []


def test_a_node_whose_introduction_was_cut_off_has_started_although_it_is_alone_then() -> None:
    plan = Plan(
        seed=359,
        scenario="queue-storm",
        nodes=(*NODES, NodeSpec(name="carol")),
        queue=QueueSpec(hosts=("alice",), workers=("alice", "bob", "carol"), lease=20.0),
        hub=DEFAULT_HUB,
        latency=0.05,
        steps=(
            StartNode(at=0.068, who="alice"),
            StartNode(at=0.548, who="carol"),
            StartNode(at=0.908, who="bob"),
            Dropping(at=1.0, who="carol", lasts=2.118, probability=0.03),
            Partition(at=1.0, who=None, lasts=0.519),
            Pause(at=2.008, who="alice", lasts=0.277),
            Dropping(at=2.013, who=None, lasts=1.167, probability=0.1),
        ),
    )
    assert play(plan).violations == []
