"""What queue agents, workers, and those who put jobs say to each other.

Every change is answered once it is durable. A change may be sent again, after an answer that never came, to
the same queue agent or to its successor: it is told by its job ids and tokens from one that was made already.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from agentbus.agents.budgets.wire import Spent
from agentbus.agents.failures import Failure
from agentbus.agents.message import Message, Request, Streaming
from agentbus.agents.queues.core.job import (
    Effect,
    JobEnd,
    JobStatus,
    LeasedJob,
    NewJob,
    QueueStats,
    Value,
)

# -- who puts jobs -------------------------------------------------------------------------------------------


class PutAnswer(Message, wire_name="agentbus.queue.PutAnswer"):
    """The ids under which jobs are known, in order: that of another job where `unique` found one."""

    ids: tuple[str, ...]


class Put(Request[PutAnswer], wire_name="agentbus.queue.Put"):
    """Take jobs, all or none. Declared errors: `QueueFullError`, `StoreError`."""

    jobs: tuple[NewJob, ...]


class AwaitEnd(Request[JobEnd], wire_name="agentbus.queue.AwaitEnd"):
    """Answer when the job is over; at once if it is. Declared errors: `NoSuchJobError`."""

    job_id: str


class Results(Streaming[JobEnd], wire_name="agentbus.queue.Results"):
    """Stream the ends of jobs, each as soon as it is durable.

    Declared errors: `QueueFullError`, `ResultsLostError`.

    Attributes:
        after: `JobEnd.at` of the last one that is known; those behind it come first. None for those from now
            on: then the first chunk has no job, and says when that is.
    """

    after: float | None = None


class Tail(Streaming[JobStatus], wire_name="agentbus.queue.Tail"):
    """Stream what becomes of jobs from now on: a status for every change that a person would want to see."""


# -- workers -------------------------------------------------------------------------------------------------


class Attached(Message, wire_name="agentbus.queue.Attached"):
    """A worker is attached.

    Attributes:
        epoch: of the queue agent's claim; another number is another queue agent.
        lease: seconds of a lease.
        lost: tokens among those that it holds that are not valid any more: it stops those jobs.
        cancelled: tokens of jobs that somebody has cancelled.
    """

    epoch: int
    lease: float
    lost: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()


class Attach(Request[Attached], wire_name="agentbus.queue.Attach"):
    """Say what a worker can take, and renew what it holds.

    It is said at first, whenever it changes, and every third of a lease.

    Its free credit is `capacity` less the leases that it has: both sides count the same, so no credit is
    lost with a message. Jobs come to `worker` as `Leased`.

    Attributes:
        worker: address text of the agent that takes the jobs.
        session: of this life of it; a new one ends the leases of the last.
        capacity: jobs at a time; 0 to get no more.
        holding: tokens of the jobs that it has.
        stalled: those among them that are not to be renewed: no mark of progress for too long.
        progress: what handlers have said since the last time.
        spent: what attempts have used up so far of budgets, by token; it counts should they be lost.
    """

    worker: str
    session: str
    capacity: int
    holding: tuple[str, ...] = ()
    stalled: tuple[str, ...] = ()
    progress: tuple[Progress, ...] = ()
    spent: dict[str, Spent] = msgspec.field(default_factory=dict[str, Spent])


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a handler has said. Attributes: the job's token; how much is done, 0 to 1; a note for people."""

    token: str
    done: float | None = None
    note: str = ""


class Leased(Message, wire_name="agentbus.queue.Leased"):
    """To a worker: these jobs are yours. Attributes: the worker's session that they are for; the jobs."""

    session: str
    epoch: int
    jobs: tuple[LeasedJob, ...]


class Revoked(Message, wire_name="agentbus.queue.Revoked"):
    """To a worker: stop these jobs.

    Attributes:
        session: the worker's session that they were for.
        tokens: of the attempts.
        why: "cancelled" by somebody; or "lost": their leases have ended, and others may have them.
    """

    session: str
    tokens: tuple[str, ...]
    why: Literal["cancelled", "lost"] = "cancelled"


class Settlement(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one attempt has ended.

    Attributes:
        token: of the attempt.
        outcome: "ack"; "fail", which is tried again; "reject", which is not; "release": handed back, as if it
            had not begun; "cancel": its handler gave in to a cancelling.
        value: what an acked job gives.
        failure: why not.
        traceback: of the failure.
        retry_in: seconds until the next attempt; None for the queue's backoff.
        jobs: jobs that are put together with the ack, or not at all.
        spent: of the job's budget.
    """

    token: str
    outcome: Literal["ack", "fail", "reject", "release", "cancel"]
    value: Value | None = None
    failure: Failure | None = None
    traceback: str = ""
    retry_in: float | None = None
    jobs: tuple[NewJob, ...] = ()
    spent: Spent | None = None


class Settled(Message, wire_name="agentbus.queue.Settled"):
    """Which settlements did not count, as their tokens had no valid lease any more."""

    refused: tuple[str, ...] = ()


class Settle(Request[Settled], wire_name="agentbus.queue.Settle"):
    """End attempts. One that has ended the same way under the same token before counts (it is said again)."""

    settlements: tuple[Settlement, ...]


class RecordEffect(Request[None], wire_name="agentbus.queue.RecordEffect"):
    """Keep an effect beside its job. Declared errors: `LeaseLostError`, `StoreError`."""

    token: str
    effect: Effect


# -- people --------------------------------------------------------------------------------------------------


class GetStats(Request[QueueStats], wire_name="agentbus.queue.GetStats"):
    """Give the queue in numbers."""


class JobPage(Message, wire_name="agentbus.queue.JobPage"):
    """Some jobs, for `for` and `len`. Attributes: they; where the next page begins, empty after the last."""

    jobs: tuple[JobStatus, ...]
    after: str = ""

    def __iter__(self) -> Iterator[JobStatus]:
        return iter(self.jobs)

    def __len__(self) -> int:
        """Count the jobs of this page."""
        return len(self.jobs)


class ListJobs(Request[JobPage], wire_name="agentbus.queue.ListJobs"):
    """List jobs.

    Attributes:
        state: only those; "dead" for the dead-letter queue; empty for all that are not over. Those that were
            put first come first.
        limit: jobs at most, up to 500.
        after: `JobPage.after` of the page before.
    """

    state: str = ""
    limit: int = 50
    after: str = ""


class GetJob(Request[JobStatus], wire_name="agentbus.queue.GetJob"):
    """Give one job. Declared errors: `NoSuchJobError`."""

    job_id: str


class GetBody(Request[Value], wire_name="agentbus.queue.GetBody"):
    """Give a job's message. Declared errors: `NoSuchJobError`."""

    job_id: str


class Steer(Request[int], wire_name="agentbus.queue.Steer"):
    """Change what is there; gives how many jobs it concerned.

    Attributes:
        action: "pause" and "resume" the queue, which is kept; "cancel" jobs, queued or running, with
            their flows; "retry" dead letters, or start delayed jobs now; "drop" jobs that
            are over or not begun.
        job_ids: which; a step is retried with its flow. Empty for all dead letters with "retry", for all that
            it could concern with "drop", for none with "cancel".
    """

    action: Literal["pause", "resume", "cancel", "retry", "drop"]
    job_ids: tuple[str, ...] = ()


# -- schedules -----------------------------------------------------------------------------------------------


class Schedule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job that is put again and again.

    Attributes:
        name: of the schedule on its queue; the same name again replaces it.
        job: what is put; its id is made from the name and the tick.
        cron: five fields, or six with seconds in front; empty with `every`.
        every: seconds from one tick to the next; 0 with `cron`.
        timezone: IANA name that `cron` is read in.
        misfire: what is done about ticks that passed while the queue was down: "skip" them, or put "once".
    """

    name: str
    job: NewJob
    cron: str = ""
    every: float = 0.0
    timezone: str = "UTC"
    misfire: Literal["skip", "once"] = "skip"


class ScheduleStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """A schedule as people see it.

    Attributes:
        schedule: what is put, and when.
        next_in: seconds until its next tick; 0 if there is a problem.
        last: ISO time of its last tick; empty before the first.
        problem: why it stands still, as the queue's host can't read it; empty if it does not.
    """

    schedule: Schedule
    next_in: float
    last: str = ""
    problem: str = ""


class PutSchedule(Request[ScheduleStatus], wire_name="agentbus.queue.PutSchedule"):
    """Keep a schedule with the queue. Declared errors: `ScheduleError`."""

    schedule: Schedule


class DropSchedule(Request[bool], wire_name="agentbus.queue.DropSchedule"):
    """Forget a schedule; gives whether it was there."""

    name: str


class ListSchedules(Request[list[ScheduleStatus]], wire_name="agentbus.queue.ListSchedules"):
    """List the queue's schedules."""
