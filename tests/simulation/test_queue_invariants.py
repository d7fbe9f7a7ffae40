"""Each invariant about queues catches something: a queue that is broken on purpose is found in few seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agentbus.agents.queues.commits import Commits
from agentbus.agents.queues.core.attempts import Attempts
from agentbus.agents.queues.core.ending import Ending
from agentbus.agents.queues.core.leases import Leases
from agentbus.agents.queues.core.queue import QueueCore
from agentbus.agents.queues.core.ready import ReadyQueue
from agentbus.agents.queues.effects import JobEffect
from agentbus.testing.simulation import NodeSpec, Plan, QueueSpec, play
from agentbus.testing.simulation.bus.steps import KillNode, StartNode
from agentbus.testing.simulation.queues.steps import CancelJob, DrainWorker, FillDisk, HoldQueue, PutJobs
from agentbus.testing.simulation.troubles import Partition, Pause

Patch = pytest.MonkeyPatch
NAMES = ("alice", "bob", "carol")

PLAN = Plan(
    seed=1,
    scenario="by hand",
    nodes=tuple(NodeSpec(name=name) for name in NAMES),
    queue=QueueSpec(hosts=("alice",), workers=("bob", "carol"), lease=3.0, max_attempts=6),
    latency=0.01,
    steps=(
        *(StartNode(at=0.0, who=name) for name in NAMES),
        HoldQueue(at=5.0, who="alice", lasts=1.0),
        PutJobs(at=5.5, who="alice", count=6),
        PutJobs(at=5.5, who="bob", count=3, options={"priority": 5}),
        PutJobs(at=8.0, who="alice", count=2, takes=0.5, fails=1, pays=True),
        PutJobs(at=10.0, who="carol", count=4, takes=6.0),
        Pause(at=11.0, who="bob", lasts=12.0),
        PutJobs(at=30.0, who="alice", count=3, takes=2.0),
        DrainWorker(at=30.5, who="bob", timeout=0.0, down=3.0),
        PutJobs(at=40.0, who="alice", count=4, takes=4.0),
        KillNode(at=41.0, who="carol", down=2.0),
        FillDisk(at=50.0, lasts=3.0),
        PutJobs(at=51.0, who="bob", count=2),
        KillNode(at=52.0, who="alice", down=1.0),
        PutJobs(at=60.0, who="bob", takes=5.0),
        CancelJob(at=61.0, who="bob"),
        PutJobs(at=80.0, who="alice", count=4, takes=2.9),
        Partition(at=80.5, who="bob", lasts=5.0),
        PutJobs(at=95.0, who="alice"),
    ),
)


def forget_the_token(patch: Patch) -> None:
    """Let whoever names a job end it."""
    settle = Attempts.settle

    def wrong(self: Attempts, settlement: Any, at: float) -> bool:
        job = vars(self)["_leases"].job_of(settlement.token)
        if job is not None and job.lease is not None and job.lease.token != settlement.token:
            vars(self)["_leases"].let_go(job)
            job.more().settled, job.more().outcome = settlement.token, settlement.outcome
            vars(self)["_outcomes"][settlement.outcome](job, settlement, at)
            return True
        return settle(self, settlement, at)

    patch.setattr(Attempts, "settle", wrong)


def lease_twice(patch: Patch) -> None:
    """Give a job to two workers at once."""
    grant = Leases.grant

    def wrong(self: Leases, job: Any, worker: Any, now: float) -> None:
        grant(self, job, worker, now)
        grant(self, job, worker, now)

    patch.setattr(Leases, "grant", wrong)


def lose_the_acked(patch: Patch) -> None:
    """Forget a job as soon as it is done."""
    done = Ending.done

    def wrong(self: Ending, job: Any, value: Any, at: float) -> None:
        done(self, job, value, at)
        vars(self)["_book"].forget(job)

    patch.setattr(Ending, "done", wrong)


def answer_too_early(patch: Patch) -> None:
    """Answer before anything is durable."""

    async def wrong(self: Commits) -> None:
        self.poke()

    patch.setattr(Commits, "durable", wrong)


def refuse_the_acked(patch: Patch) -> None:
    """Tell workers that their acks did not count."""
    settle = QueueCore.settle

    def wrong(self: QueueCore, settlements: Any, now: float) -> tuple[str, ...]:
        settle(self, settlements, now)
        return tuple(each.token for each in settlements)

    patch.setattr(QueueCore, "settle", wrong)


def end_leases_early(patch: Patch) -> None:
    """Take jobs away at the next tick."""

    def wrong(self: Leases, _now: float) -> Any:
        return next((held.job for held in self.held.values()), None)

    patch.setattr(Leases, "first_ended", wrong)


def ignore_priorities(patch: Patch) -> None:
    """Treat all jobs alike."""
    push = ReadyQueue.push

    def wrong(self: ReadyQueue, number: int, _priority: int, tenant: str) -> None:
        push(self, number, 0, tenant)

    patch.setattr(ReadyQueue, "push", wrong)


def pay_again(patch: Patch) -> None:
    """Forget what was recorded."""
    patch.setattr(JobEffect, "needed", property(lambda _self: True))

    def wrong(self: JobEffect) -> None:
        vars(self)["_entered"] = True

    patch.setattr(JobEffect, "_begin", wrong)


def count_wrongly(patch: Patch) -> None:
    """Say that there is one more."""
    stats = QueueCore.stats

    def wrong(self: QueueCore, now: float) -> Any:
        told = stats(self, now)
        return msgspec.structs.replace(told, done=told.done + 1)

    patch.setattr(QueueCore, "stats", wrong)


SABOTAGE: dict[str, Callable[[Patch], None]] = {
    "no_job_is_lost": lose_the_acked,
    "puts_and_results_are_answered": answer_too_early,
    "attempts_hold_a_lease": lease_twice,
    "jobs_go_their_way": forget_the_token,
    "jobs_are_acked_once": refuse_the_acked,
    "redeliveries_have_a_reason": end_leases_early,
    "jobs_start_in_order": ignore_priorities,
    "payments_happen_once": pay_again,
    "the_numbers_add_up": count_wrongly,
}


def violated(plan: Plan) -> set[str]:
    return {violation.invariant for violation in play(plan).violations}


def test_nothing_is_violated_where_nothing_is_broken() -> None:
    assert play(PLAN).violations == []


@pytest.mark.parametrize("invariant", SABOTAGE)
def test_an_invariant_catches(invariant: str, monkeypatch: Patch) -> None:
    SABOTAGE[invariant](monkeypatch)
    assert invariant in violated(PLAN)
