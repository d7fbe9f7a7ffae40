"""What is told of a queue: by those who put jobs, by workers, and by the disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agentbus.agents.queues.core.job import QueueStats
from agentbus.testing.simulation.bus.letters import LifeLog
from agentbus.testing.simulation.queues.disk import Claim, Written


@dataclass(eq=False)
class PutLog:
    """A job or a flow that a program has put, and what it was told of it.

    Attributes:
        names: of its tasks; each is unique in the world.
        life: who has put it.
        at: virtual time.
        timeout: seconds that the program waits.
        done_at: when the put was said to be durable, or to have failed.
        job_id: the job's; empty before that.
        error: why the put has failed.
        result_at: when the program knew how the job had ended.
        value: what it has given.
        result_error: why it has given nothing.
    """

    names: tuple[str, ...]
    life: LifeLog
    at: float
    timeout: float | None
    done_at: float | None = None
    job_id: str = ""
    error: BaseException | None = None
    result_at: float | None = None
    value: object = None
    result_error: BaseException | None = None

    @property
    def name(self) -> str:
        """Its name in the trace."""
        return self.names[0] if len(self.names) == 1 else f"flow {self.names[0]}…{self.names[-1]}"

    @property
    def answered(self) -> bool:
        """Whether its program knows what has become of it."""
        return self.error is not None or self.result_at is not None

    def __str__(self) -> str:
        return f"{self.name} of {self.life}, put at {self.at:.3f}"


@dataclass(eq=False)
class AttemptLog:
    """A job in the hands of a handler.

    Attributes:
        job_id: which.
        token: of its lease.
        number: of the attempt, as the handler was told.
        inputs: what the steps before it in its flow have given.
        life: where.
        began_at: virtual time.
        ended_at: when the handler ended; None if it never did.
        outcome: "returned", "raised", "rejected" or "cancelled"; empty if it never ended.
        value: what it gave.
    """

    job_id: str
    token: str
    number: int
    inputs: list[Any]
    life: LifeLog
    began_at: float
    ended_at: float | None = None
    outcome: str = ""
    value: str = ""

    def outcome_at(self, at: float) -> str:
        """Give how it had ended by then; empty if it had not."""
        return self.outcome if self.ended_at is not None and self.ended_at <= at else ""

    @property
    def at_work(self) -> bool:
        """Whether its handler goes on, as far as anybody can tell."""
        return self.ended_at is None and not self.life.over

    def __str__(self) -> str:
        return f"attempt {self.number} at {self.job_id} on {self.life} at {self.began_at:.3f}"


@dataclass(frozen=True)
class Payment:
    """An effect that happened. Attributes: the job; where; when."""

    job_id: str
    life: LifeLog
    at: float


@dataclass(frozen=True)
class Drain:
    """A worker was told to stop. Attributes: when; in which life; its name there."""

    at: float
    life: LifeLog
    worker: str


@dataclass(frozen=True)
class Order:
    """Somebody steered. Attributes: when; what; the ids of the jobs that it concerns, None for all."""

    at: float
    action: str
    job_ids: frozenset[str] | None


@dataclass(frozen=True)
class Jump:
    """The clock of a node was set. Attributes: when; whose; the seconds that it is ahead from then on."""

    at: float
    node: str
    ahead: float


@dataclass(eq=False)
class History:
    """All that is told of a queue.

    Attributes:
        puts: what programs have put, in that order.
        attempts: what handlers took up, in that order.
        payments: effects, in that order.
        drains: of workers, in that order.
        orders: what was steered, in that order.
        schedules: the seconds between ticks that somebody wanted, by the name of the schedule.
        jumps: of clocks, in that order.
        written: what became durable.
        claims: who could write, in that order.
        stats: what the host said at rest; None if nobody could ask it.
    """

    puts: list[PutLog] = field(default_factory=list[PutLog])
    attempts: list[AttemptLog] = field(default_factory=list[AttemptLog])
    payments: list[Payment] = field(default_factory=list[Payment])
    drains: list[Drain] = field(default_factory=list[Drain])
    orders: list[Order] = field(default_factory=list[Order])
    schedules: dict[str, set[float]] = field(default_factory=dict[str, set[float]])
    jumps: list[Jump] = field(default_factory=list[Jump])
    written: list[Written] = field(default_factory=list[Written])
    claims: list[Claim] = field(default_factory=list[Claim])
    stats: QueueStats | None = None

    def ahead(self, node: str, at: float) -> float:
        """Give the seconds by which the clock of a node was ahead at a time."""
        return next((each.ahead for each in reversed(self.jumps) if each.node == node and each.at <= at), 0.0)
