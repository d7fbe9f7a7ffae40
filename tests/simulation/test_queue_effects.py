"""Two hundred crashes between an effect and the ack of its job: none is repeated where it is recorded."""

from __future__ import annotations

from collections import Counter

import pytest

from agentbus.testing.simulation import NodeSpec, Plan, QueueSpec, Run, play
from agentbus.testing.simulation.bus.steps import KillNode, StartNode
from agentbus.testing.simulation.queues.steps import PutJobs
from tests.simulation.test_queue_invariants import pay_again

ROUNDS, AT_ONCE, PERIOD = 20, 10, 10.0

PLAN = Plan(
    seed=1,
    scenario="by hand",
    nodes=(NodeSpec(name="alice"), NodeSpec(name="bob")),
    queue=QueueSpec(hosts=("alice",), workers=("bob",), concurrency=AT_ONCE),
    steps=(
        StartNode(at=0.0, who="alice"),
        StartNode(at=0.0, who="bob"),
        *(
            step
            for begin in (10.0 + PERIOD * number for number in range(ROUNDS))
            for step in (
                PutJobs(at=begin, who="alice", count=AT_ONCE, takes=4.0, pays=True),
                KillNode(at=begin + 3.5, who="bob", down=1.0),
            )
        ),
    ),
)


def payments(run: Run) -> Counter[str]:
    """Count how often each job was paid."""
    return Counter(line.rsplit(" ", 1)[1] for line in run.trace if " pays for " in line)


def second_attempts(run: Run) -> int:
    return sum("takes up attempt 2 " in line for line in run.trace)


def test_no_effect_is_repeated_after_two_hundred_crashes() -> None:
    run = play(PLAN)
    assert run.violations == []
    assert second_attempts(run) == ROUNDS * AT_ONCE
    assert set(payments(run).values()) == {1}
    assert len(payments(run)) == ROUNDS * AT_ONCE


def test_without_its_record_an_effect_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    pay_again(monkeypatch)
    assert max(payments(play(PLAN)).values()) > 1
