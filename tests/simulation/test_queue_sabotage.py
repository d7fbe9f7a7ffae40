"""A queue that is broken on purpose is found out by chance alone: no plan was written for it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agentbus.agents.queues.commits import Commits
from agentbus.agents.queues.core.attempts import Attempts
from agentbus.agents.queues.core.flows import Flows
from agentbus.agents.queues.core.leases import Leases
from agentbus.agents.queues.core.matching import Matching
from agentbus.agents.queues.core.queue import QueueCore
from agentbus.agents.queues.core.schedules import Schedules
from agentbus.testing.simulation import draw_plan
from tests.simulation.test_queue_invariants import answer_too_early, lease_twice, lose_the_acked, violated

Patch = pytest.MonkeyPatch


def forget_the_token(patch: Patch) -> None:
    """Let whoever names a job end the attempt that is under way."""
    settle = Attempts.settle

    def wrong(self: Attempts, settlement: Any, at: float) -> bool:
        job = vars(self)["_leases"].job_of(settlement.token)
        if job is not None and job.lease is not None:
            settlement = msgspec.structs.replace(settlement, token=job.lease.token)
        return settle(self, settlement, at)

    patch.setattr(Attempts, "settle", wrong)


def ack_twice(patch: Patch) -> None:
    """Let an ack that is said again count again."""
    settle = Attempts.settle

    def wrong(self: Attempts, settlement: Any, at: float) -> bool:
        job = vars(self)["_leases"].job_of(settlement.token)
        again = job is not None and job.state == "done" and job.details.settled == settlement.token
        if again:
            vars(self)["_outcomes"]["ack"](job, settlement, at)
        return settle(self, settlement, at)

    patch.setattr(Attempts, "settle", wrong)


def lose_a_put(patch: Patch) -> None:
    """Go on without what could not be written."""
    again = Commits._again  # pyright: ignore[reportPrivateUsage]  # that is what is broken

    def wrong(self: Commits, error: Any) -> None:
        batch = vars(self)["_turn"].batch
        batch.heads.clear()
        batch.bodies.clear()
        again(self, error)

    patch.setattr(Commits, "_again", wrong)


def redeliver_now_and_then(patch: Patch) -> None:
    """Take a job away from who has it, every twenty seconds."""
    tick = QueueCore.tick
    taken_at = [0.0]

    def wrong(self: QueueCore, now: float, wall: float, *, connected: bool) -> None:
        tick(self, now, wall, connected=connected)
        held = next(iter(vars(self)["_leases"].held.values()), None)
        if held is not None and now >= taken_at[0] + 20:
            taken_at[0] = now
            vars(self)["_attempts"].lost(held.job, vars(self)["_clock"].at(now))

    patch.setattr(QueueCore, "tick", wrong)


def never_renew(patch: Patch) -> None:
    """Let every lease end."""

    def wrong(_self: Leases, _held: Any, _now: float) -> None:
        """Renew nothing."""

    patch.setattr(Leases, "renew", wrong)


def begin_all_steps(patch: Patch) -> None:
    """Let the steps of a chain begin together, and those of a map whatever its window."""

    def wide(_self: Flows, _flow: Any) -> int:
        return 1000

    patch.setattr(Flows, "_width", wide)


def forget_the_tick(patch: Patch) -> None:
    """Keep no note of what a schedule has put."""
    keep = Schedules._keep  # pyright: ignore[reportPrivateUsage]  # that is what is broken

    def wrong(self: Schedules, note: Any, due: float) -> None:
        keep(self, msgspec.structs.replace(note, last=None), due)

    patch.setattr(Schedules, "_keep", wrong)


def forget_the_pause(patch: Patch) -> None:
    """Begin jobs whether or not somebody has paused the queue."""

    def may_begin(self: Matching) -> bool:
        return len(vars(self)["_book"].ready) > 0

    patch.setattr(Matching, "_may_begin", property(may_begin))


def mix_up_values(patch: Patch) -> None:
    """Give what the steps of a group gave in the wrong order."""
    gathered = Flows.gathered

    def wrong(self: Flows, number: int, bodies: Any, at: float) -> None:
        numbers = sorted(bodies)
        gathered(
            self, number, dict(zip(numbers, [bodies[each] for each in reversed(numbers)], strict=True)), at
        )

    patch.setattr(Flows, "gathered", wrong)


def leave_out_ticks(patch: Patch) -> None:
    """Put no job for a tick after which nothing was put for a minute."""
    after = Schedules._after  # pyright: ignore[reportPrivateUsage]  # that is what is broken

    def wrong(self: Schedules, schedule: Any, time: float) -> float:
        return after(self, schedule, time + 60.0)

    patch.setattr(Schedules, "_after", wrong)


BROKEN: dict[Callable[[Patch], None], tuple[str, int, str]] = {
    forget_the_token: ("queue-late", 10, "settlements_are_the_workers_own"),
    ack_twice: ("queue-hosts", 10, "jobs_go_their_way"),
    lose_a_put: ("queue-disk", 5, "no_job_is_lost"),
    redeliver_now_and_then: ("queue-storm", 5, "redeliveries_have_a_reason"),
    never_renew: ("queue-calm", 5, "redeliveries_have_a_reason"),
    lease_twice: ("queue-kills", 5, "attempts_hold_a_lease"),
    lose_the_acked: ("queue-cuts", 5, "no_job_is_lost"),
    answer_too_early: ("queue-disk", 5, "no_job_is_lost"),
    begin_all_steps: ("queue-flows", 5, "flows_take_their_course"),
    mix_up_values: ("queue-flows", 5, "flows_hand_on_what_steps_gave"),
    forget_the_tick: ("queue-clocks", 5, "ticks_put_one_job_each"),
    leave_out_ticks: ("queue-clocks", 5, "no_tick_is_left_out"),
    forget_the_pause: ("queue-steered", 5, "nothing_begins_while_paused"),
}
"""What is broken, the scenario that is drawn from, the most seeds that it may take, and who finds it."""


SLOW = {never_renew, lease_twice, lose_the_acked, answer_too_early, mix_up_values, leave_out_ticks}
"""Those that a plan by hand finds too, or that are much like another one."""

CASES = [
    pytest.param(break_it, id=break_it.__name__, marks=pytest.mark.slow if break_it in SLOW else ())
    for break_it in BROKEN
]


@pytest.mark.parametrize("break_it", CASES)
def test_a_broken_queue_is_found_within_a_few_drawn_seeds(
    break_it: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    scenario, seeds, invariant = BROKEN[break_it]
    break_it(monkeypatch)
    assert any(invariant in violated(draw_plan(seed, scenario)) for seed in range(seeds))
    gc.collect()
