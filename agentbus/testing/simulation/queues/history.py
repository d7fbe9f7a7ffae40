"""What is told of a queue: by those who put jobs, by workers, and by the disk."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentbus.agents.queues.core.job import QueueStats
from agentbus.testing.simulation.bus.letters import LifeLog
from agentbus.testing.simulation.queues.disk import Written


@dataclass(eq=False)
class PutLog:
    """A job that a program has put, and what it was told of it.

    Attributes:
        name: of the task; unique in the world.
        life: who has put it.
        at: virtual time.
        max_attempts: as it was put.
        delay: as it was put, as is the rest.
        unique: text that only one job at a time may have.
        timeout: seconds that the program waits.
        done_at: when the put was said to be durable, or to have failed.
        job_id: the job's; empty before that.
        error: why the put has failed.
        result_at: when the program knew how the job had ended.
        value: what it has given.
        result_error: why it has given nothing.
        attempts: that it took.
    """

    name: str
    life: LifeLog
    at: float
    max_attempts: int | None
    delay: float
    unique: str | None
    timeout: float | None
    done_at: float | None = None
    job_id: str = ""
    error: BaseException | None = None
    result_at: float | None = None
    value: object = None
    result_error: BaseException | None = None
    attempts: int = 0

    def __str__(self) -> str:
        return f"{self.name} of {self.life}, put at {self.at:.3f}"


@dataclass(eq=False)
class AttemptLog:
    """A job in the hands of a handler.

    Attributes:
        job_id: which.
        token: of its lease.
        number: of the attempt, as the handler was told.
        life: where.
        began_at: virtual time.
        ended_at: when the handler ended; None if it never did.
        outcome: "returned", "raised", "rejected" or "cancelled"; empty if it never ended.
        value: what it gave.
    """

    job_id: str
    token: str
    number: int
    life: LifeLog
    began_at: float
    ended_at: float | None = None
    outcome: str = ""
    value: str = ""

    def __str__(self) -> str:
        return f"attempt {self.number} at {self.job_id} on {self.life} at {self.began_at:.3f}"


@dataclass(frozen=True)
class Payment:
    """An effect that happened. Attributes: the job; where; when."""

    job_id: str
    life: LifeLog
    at: float


@dataclass(eq=False)
class History:
    """All that is told of a queue.

    Attributes:
        puts: what programs have put, in that order.
        attempts: what handlers took up, in that order.
        payments: effects, in that order.
        drains: when a worker of a life was told to stop, by that life.
        troubles: from when to when something was in the way of renewing leases.
        written: what became durable.
        heads: numbers of the jobs that were on the disk at the end.
        stats: what the host said at rest; None if nobody could ask it.
    """

    puts: list[PutLog] = field(default_factory=list[PutLog])
    attempts: list[AttemptLog] = field(default_factory=list[AttemptLog])
    payments: list[Payment] = field(default_factory=list[Payment])
    drains: list[tuple[float, LifeLog]] = field(default_factory=list[tuple[float, LifeLog]])
    troubles: list[float] = field(default_factory=list[float])
    written: list[Written] = field(default_factory=list[Written])
    stats: QueueStats | None = None
