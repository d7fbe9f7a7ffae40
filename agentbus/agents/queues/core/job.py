"""Jobs: as they are put, and as people see them."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from agentbus.agents.budgets.wire import Grant
from agentbus.agents.failures import Failure

JobState = Literal["queued", "delayed", "leased", "waiting", "done", "failed", "rejected", "cancelled"]
"""`waiting` is a flow whose steps are under way; the last four are ends, and those that failed or
were rejected are the dead-letter queue."""

LISTED: tuple[str, ...] = (*get_args(JobState), "dead")
"""By what jobs can be listed: their states, and `dead` for all of the dead-letter queue."""

FlowKind = Literal["", "chain", "group", "map"]


class NewJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job as it is put; put twice under one id, it is one job.

    Attributes:
        id: chosen by who puts it.
        type: wire name of its message; empty for a flow, which has no message of its own.
        version: of the type.
        body: its JSON.
        priority: higher goes first.
        delay: seconds until it may start.
        unique: while a job with this text is not over, another is not put.
        key: names its effects over all attempts (the idempotency key); None for the id.
        tenant: whose share of the service it takes.
        max_attempts: before it is a dead letter; None for the queue's.
        soft_timeout: seconds of one attempt after which its handler is cancelled; None for ever.
        hard_timeout: seconds after which an attempt is over whatever its handler does; None for ever.
        budget: what it may use up, all attempts together, with all that it causes.
        flow: how `steps` hang together: one after the other, all at once, or `window` at a time.
        steps: the jobs that a flow consists of.
        window: steps of a map that may be under way.
    """

    id: str
    type: str = ""
    version: int = 1
    body: msgspec.Raw = msgspec.Raw(b"null")
    priority: int = 0
    delay: float = 0.0
    unique: str | None = None
    key: str | None = None
    tenant: str = ""
    max_attempts: int | None = None
    soft_timeout: float | None = None
    hard_timeout: float | None = None
    budget: Grant | None = None
    flow: FlowKind = ""
    steps: tuple[NewJob, ...] = ()
    window: int = 0


class Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a job has given.

    Attributes:
        type: wire name of its message; empty for plain JSON.
        version: of the type.
        body: its JSON.
    """

    type: str = ""
    version: int = 1
    body: msgspec.Raw = msgspec.Raw(b"null")


class Effect(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step of a job that must not be repeated.

    Attributes:
        name: among the effects of its job.
        done: False while only the intent is known: then it may or may not have happened.
        value: JSON of its result.
    """

    name: str
    done: bool = False
    value: msgspec.Raw = msgspec.Raw(b"null")


class LeasedJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job in the hands of a worker.

    Attributes:
        id: the job's.
        token: the fencing token of this attempt, unguessable.
        type: wire name of its message.
        version: of the type.
        body: its JSON.
        attempt: from 1.
        key: the idempotency key, the same over all attempts.
        lease: seconds that it is the worker's without a renewal.
        soft_timeout: see `NewJob`.
        hard_timeout: see `NewJob`.
        budget: what is left of it.
        effects: what earlier attempts have recorded.
        inputs: what the steps before it in its flow have given.
        tenant: see `NewJob`.
    """

    id: str
    token: str
    type: str
    version: int
    body: msgspec.Raw
    attempt: int
    key: str
    lease: float
    soft_timeout: float | None = None
    hard_timeout: float | None = None
    budget: Grant | None = None
    effects: tuple[Effect, ...] = ()
    inputs: tuple[Value, ...] = ()
    tenant: str = ""


class JobStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job as people see it.

    Attributes:
        id: the job's.
        queue: whose.
        type: wire name of its message; `chain`, `group` or `map` for a flow.
        state: see `JobState`.
        priority: higher goes first.
        tenant: whose.
        key: the idempotency key.
        attempts: how many have begun.
        max_attempts: before it is a dead letter.
        due_in: seconds until it may start; 0 if it may.
        age: seconds since it was put.
        worker: address of who has it leased.
        lease_left: seconds of its lease.
        done: how much of it is done, 0 to 1, as its handler has said.
        note: what its handler has said.
        parent: id of the flow that it is a step of.
        failure: of its last attempt.
        traceback: of that failure.
    """

    id: str
    queue: str
    type: str
    state: JobState
    priority: int = 0
    tenant: str = ""
    key: str = ""
    attempts: int = 0
    max_attempts: int = 0
    due_in: float = 0.0
    age: float = 0.0
    worker: str | None = None
    lease_left: float | None = None
    done: float | None = None
    note: str = ""
    parent: str | None = None
    failure: Failure | None = None
    traceback: str = ""


class JobEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a job has ended.

    Attributes:
        job_id: whose.
        state: one of the ends.
        value: what it has given, if it is done.
        failure: why not.
        attempts: how many it took.
        at: the queue's time of it, which no two ends have in common: a stream of ends goes on behind it.
    """

    job_id: str
    state: JobState
    value: Value | None = None
    failure: Failure | None = None
    attempts: int = 0
    at: float = 0.0


class QueueStats(msgspec.Struct, frozen=True, omit_defaults=True):
    """A queue in numbers.

    Attributes:
        name: the queue's.
        store: its store, without secrets.
        epoch: of the owner claim; 0 if there is none.
        paused: whether no job is leased.
        queued: jobs that could start.
        delayed: jobs whose time has not come.
        leased: jobs in the hands of workers.
        waiting: flows under way.
        done: jobs that are done and still remembered.
        dead: jobs in the dead-letter queue.
        bytes: of all bodies.
        workers: that are attached.
        oldest: seconds that the oldest queued job has waited; 0 without one.
        put: jobs put since the queue was opened; as for those below.
        acked: jobs acked.
        failed: attempts that failed.
        redelivered: attempts that ended with their lease, or with a certified death.
        refused: acks and renewals without a valid lease.
        state: "ok"; or what stands in the way, in words: a full disk, a lost claim.
    """

    name: str
    store: str = ""
    epoch: int = 0
    paused: bool = False
    queued: int = 0
    delayed: int = 0
    leased: int = 0
    waiting: int = 0
    done: int = 0
    dead: int = 0
    bytes: int = 0
    workers: int = 0
    oldest: float = 0.0
    put: int = 0
    acked: int = 0
    failed: int = 0
    redelivered: int = 0
    refused: int = 0
    state: str = "ok"
