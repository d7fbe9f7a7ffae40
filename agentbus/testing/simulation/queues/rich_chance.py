"""Drawing what happens to a queue with flows, schedules, clocks that jump, and people who steer."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from agentbus.testing.simulation.chance import Cast
from agentbus.testing.simulation.plan import Step
from agentbus.testing.simulation.queues.flow_steps import FlowSpec, PutFlow
from agentbus.testing.simulation.queues.steps import KillHost, PauseWorker, PutJobs, SteerJobs
from agentbus.testing.simulation.queues.time_steps import DropSchedule, JumpClock, KeepSchedule
from agentbus.testing.simulation.troubles import Partition

SCHEDULES: Final = ("early", "late")
HOUR: Final = 3600.0


def put_flow(cast: Cast, at: float) -> Step:
    """Put a flow, perhaps one of flows."""
    random = cast.random
    options: dict[str, Any] = {"priority": random.choice((0, 0, 3)), "delay": random.choice((0.0, 0.0, 2.0))}
    return PutFlow(at=at, who=cast.one(), flow=_flow(random, depth=2), options=options)


def _flow(random: Random, depth: int) -> FlowSpec:
    steps = tuple(
        _flow(random, depth - 1) if depth > 1 and random.random() < 0.2 else _task(random)
        for _ in range(random.randint(1, 4))
    )
    return FlowSpec(kind=random.choice(("chain", "group", "map")), steps=steps, window=random.randint(1, 3))


def _task(random: Random) -> dict[str, Any]:
    """Draw a step: most of them do what they are to do."""
    task: dict[str, Any] = {"takes": random.choice((0.0, 0.05, 0.5, 3.0))}
    if random.random() < 0.15:
        task["fails"] = random.choice((1, 1, 99))
    elif random.random() < 0.03:
        task["rejects"] = True
    return task


def retry(cast: Cast, at: float) -> Step:
    """Try dead jobs again: what was put last, or all."""
    return SteerJobs(at=at, who=cast.one(), action="retry", last=cast.random.choice((None, 1, 5)))


def drop(cast: Cast, at: float) -> Step:
    """Forget jobs: what was put last, or all."""
    return SteerJobs(at=at, who=cast.one(), action="drop", last=cast.random.choice((None, 1, 1, 5)))


def keep_schedule(cast: Cast, at: float) -> Step:
    """Keep a schedule, perhaps in the place of another."""
    return KeepSchedule(
        at=at,
        who=cast.one(),
        name=cast.random.choice(SCHEDULES),
        every=cast.random.choice((5.0, 10.0, 30.0, 60.0)),
        once=cast.random.random() < 0.5,
        takes=cast.random.choice((0.0, 1.0)),
    )


def drop_schedule(cast: Cast, at: float) -> Step:
    """Drop a schedule, if it is there."""
    return DropSchedule(at=at, who=cast.one(), name=cast.random.choice(SCHEDULES))


def jump_clock(cast: Cast, at: float) -> Step:
    """Set a clock forward or back: by an hour, or by a little."""
    seconds = cast.random.choice((HOUR, -HOUR, HOUR, -HOUR, 7.0, -7.0))
    return JumpClock(at=at, who=cast.one(), seconds=seconds)


def put_work(cast: Cast, at: float) -> Step:
    """Put work that takes about as long as a lease."""
    return PutJobs(at=at, who=cast.one(), count=cast.random.choice((2, 4)), takes=cast.some(3, 9))


def pause_worker(cast: Cast, at: float) -> Step:
    """Stop somebody who works for about as long as a lease, and for less than others take for death."""
    return PauseWorker(at=at, lasts=cast.some(4, 12))


def kill_host(cast: Cast, at: float) -> Step:
    """Kill the host, mostly for a moment."""
    return KillHost(at=at, down=cast.some(0.1, 30), silently=cast.random.random() < 0.3)


def part_long(cast: Cast, at: float) -> Step:
    """Let nothing through to a node for as long."""
    return Partition(at=at, who=cast.one(), lasts=cast.some(3, 25))
