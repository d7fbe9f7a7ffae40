"""What a bus reports of its workers: see `Bus.events`."""

from __future__ import annotations

from agentbus.agents.events import BusEvent
from agentbus.agents.failures import Failure
from agentbus.agents.queues.holding import Ended, Lost, Stuck


class JobAttemptFailed(BusEvent, frozen=True):
    """An attempt of a job has failed; the agent that made it has not, and takes the next job.

    Attributes:
        address: of the worker.
        queue: name of the queue.
        job_id: which job.
        attempt: from 1.
        outcome: "fail", which is tried again while there are attempts left, or "reject".
        error: qualified name of the exception and its text.
        traceback: where; empty for a time limit.
    """

    address: str
    queue: str
    job_id: str
    attempt: int
    outcome: str
    error: str
    traceback: str = ""


class JobLeaseLost(BusEvent, frozen=True):
    """A job is not this worker's any more: its lease has ended, and what comes of it counts for nothing.

    Attributes:
        address: of the worker.
        queue: name of the queue.
        job_id: which job.
        attempt: from 1.
    """

    address: str
    queue: str
    job_id: str
    attempt: int


class JobHandlerStuck(BusEvent, frozen=True):
    """A handler was told to end 10 s ago, its attempt is over, and it goes on: no thread can be ended.

    Its worker takes one job less until it ends. With `process=True` its process would have been ended.
    Attributes: as in `JobLeaseLost`.
    """

    address: str
    queue: str
    job_id: str
    attempt: int


class JobHandedBack(BusEvent, frozen=True):
    """A job goes back to its queue, as its worker ends. Attributes: as in `JobLeaseLost`."""

    address: str
    queue: str
    job_id: str
    attempt: int


class QueueAttached(BusEvent, frozen=True):
    """A worker has found the host of its queue. Attributes: the worker; the queue; the host's epoch."""

    address: str
    queue: str
    epoch: int


class QueueOutOfReach(BusEvent, frozen=True):
    """A worker's host does not answer, or there is none; the worker goes on, and goes on looking for one.

    Attributes:
        address: of the worker.
        queue: name of the queue.
    """

    address: str
    queue: str


def event_of(order: Ended | Lost | Stuck, address: str, queue: str) -> BusEvent | None:
    """Give what is reported of an attempt; None where all went well.

    Args:
        order: its end, or that it has none.
        address: of the worker.
        queue: name of the queue.
    """
    job = order.job
    if isinstance(order, Lost):
        return JobLeaseLost(address, queue, job.id, job.attempt)
    if isinstance(order, Stuck):
        return JobHandlerStuck(address, queue, job.id, job.attempt)
    settlement = order.settlement
    if settlement.outcome == "release":
        return JobHandedBack(address, queue, job.id, job.attempt)
    if settlement.failure is None:
        return None
    error = said_of(settlement.failure)
    return JobAttemptFailed(
        address, queue, job.id, job.attempt, settlement.outcome, error, settlement.traceback
    )


def said_of(failure: Failure) -> str:
    """Say in one line what a failure was."""
    name = failure.fields.get("error_type", failure.kind) if failure.kind == "AgentFailed" else failure.kind
    return f"{name}: {failure.text}" if failure.text else str(name)
