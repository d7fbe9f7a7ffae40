"""Drawing what happens to a queue."""

from __future__ import annotations

from random import Random
from typing import Any

from agentbus.testing.simulation.chance import Cast
from agentbus.testing.simulation.plan import QueueSpec, Step
from agentbus.testing.simulation.queues.steps import CancelJob, DrainWorker, FillDisk, HoldQueue, PutJobs


def draw_queue(random: Random, names: tuple[str, ...]) -> QueueSpec:
    """Draw a queue: one or two nodes that are to host it, and workers on one to all."""
    return QueueSpec(
        hosts=names[: random.choice((1, 1, 2))],
        workers=names[random.choice((0, 1)) :],
        concurrency=random.choice((1, 2, 5)),
        locks=random.random() < 0.7,
        lease=random.choice((3.0, 6.0, 20.0)),
        max_attempts=random.choice((2, 4, 6)),
        max_jobs=random.choice((10, 1_000_000, 1_000_000)),
        rate=random.choice((None, None, None, 20)),
        leased_at_once=random.choice((None, None, 3)),
    )


def put(cast: Cast, at: float) -> Step:
    """Put jobs that take a moment."""
    return _jobs(cast, at, count=cast.random.choice((1, 2, 5)), takes=cast.some(0.001, 0.5))


def put_many(cast: Cast, at: float) -> Step:
    """Put more jobs than there are hands."""
    return _jobs(cast, at, count=cast.random.choice((10, 20)), takes=cast.random.choice((0.0, 0.05)))


def put_long(cast: Cast, at: float) -> Step:
    """Put jobs that take longer than a lease, or than any trouble."""
    return _jobs(cast, at, count=cast.random.choice((1, 2)), takes=cast.some(1, 30))


def put_trouble(cast: Cast, at: float) -> Step:
    """Put jobs whose handler raises, once or always, or refuses them."""
    rejects = cast.random.random() < 0.2
    fails = cast.random.choice((1, 2, 99))
    return _jobs(cast, at, count=cast.random.choice((1, 3)), fails=fails, rejects=rejects, takes=0.01)


def put_payments(cast: Cast, at: float) -> Step:
    """Put jobs that do something that must not be repeated."""
    fails = cast.random.choice((0, 0, 1, 2))
    return _jobs(cast, at, count=2, takes=cast.some(0.01, 3), pays=True, fails=fails)


def cancel(cast: Cast, at: float) -> Step:
    """Cancel a job."""
    return CancelJob(at=at, who=cast.one())


def hold(cast: Cast, at: float) -> Step:
    """Pause the queue."""
    return HoldQueue(at=at, who=cast.one(), lasts=cast.some(0.1, 20))


def drain(cast: Cast, at: float) -> Step:
    """Stop a worker."""
    timeout = cast.random.choice((0.0, cast.some(0.01, 5)))
    return DrainWorker(at=at, who=cast.one(), timeout=timeout, down=timeout + cast.some(0.1, 20))


def fill_disk(cast: Cast, at: float) -> Step:
    """Let the disk be full."""
    return FillDisk(at=at, lasts=cast.some(0.05, 40))


def _jobs(cast: Cast, at: float, **fields: Any) -> PutJobs:
    return PutJobs(at=at, who=cast.one(), options=_options(cast.random), **fields)


def _options(random: Random) -> dict[str, Any]:
    """Draw options: each one is seldom."""
    seldom: dict[str, Any] = {
        "priority": random.choice((-1, 1, 5)),
        "tenant": random.choice(("a", "b")),
        "delay": random.choice((0.3, 5.0, 20.0)),
        "unique": random.choice(("x", "y")),
        "max_attempts": random.choice((1, 3)),
        "timeout": random.choice((0.5, 5.0, 30.0)),
    }
    return {name: value for name, value in seldom.items() if random.random() < 0.2}
