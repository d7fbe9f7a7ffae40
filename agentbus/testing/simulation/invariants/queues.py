"""What programs and workers may rely on with a queue: nothing acked is lost, nor lost and acked; acked once.

agents.md, *Leases*. The disk is the witness: see `agentbus.testing.simulation.queues.ledger`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from agentbus.agents.queues.core.record import LIVE
from agentbus.agents.queues.worker_events import JobLeaseLost
from agentbus.errors import (
    AgentError,
    AskTimeoutError,
    BusClosedError,
    JobCancelled,
    JobFailed,
    JobRejected,
    QueueFullError,
    StoreError,
)
from agentbus.testing.simulation.evidence import Evidence
from agentbus.testing.simulation.queues.disk import WRITE_DELAYS
from agentbus.testing.simulation.queues.history import AttemptLog, History, PutLog
from agentbus.testing.simulation.queues.ledger import Story, by_id, by_token, settled, stories

MOMENT: Final = 0.01
ENDS: Final[dict[str, type[AgentError]]] = {
    "failed": JobFailed,
    "rejected": JobRejected,
    "cancelled": JobCancelled,
}
"""What a program is told of a job that has given nothing."""


def no_job_is_lost(evidence: Evidence) -> Iterator[str]:
    """A job is durable when its put is done, there is one of it, and it ends. agents.md, *Leases*."""
    history = evidence.queue
    if history is None:
        return
    known = by_id(history)
    for put in history.puts:
        if put.done_at is not None and put.error is None:
            story = known.get(put.job_id)
            if story is None or story.changes[0].at > put.done_at:
                yield f"{put} was said to be durable at {put.done_at:.3f}, and was not"
        elif isinstance(put.error, QueueFullError) and any(put.name == each.name for each in known.values()):
            yield f"{put} was refused by a full queue, which has it"
    for story in stories(history).values():
        if story.erased_at is not None:
            yield f"{story} was erased at {story.erased_at:.3f}"
        elif not story.over:
            yield f"{story} is still {story.job.state}"
    twice = [name for name, count in Counter(each.name for each in known.values()).items() if count > 1]
    for name in twice:
        yield f"{name} is there twice"


def puts_and_results_are_answered(evidence: Evidence) -> Iterator[str]:
    """Who lives is told, and told what is true: of a put, and of a job's end. agents.md, *Leases*."""
    history = evidence.queue
    if history is None:
        return
    known = by_id(history)
    for put in history.puts:
        problem = _problem_of_put(put)
        if problem is None and put.result_at is not None:
            problem = _problem_of_result(put, known.get(put.job_id))
        if problem is not None:
            yield f"{put}: {problem}"


def _problem_of_put(put: PutLog) -> str | None:
    if put.done_at is None:
        return None if put.life.killed_at is not None else "never had an answer"
    if put.error is None:
        over = put.life.over and put.life.closing_at is None
        return None if over or put.result_at is not None else "its result was never told"
    timed_out = isinstance(put.error, AskTimeoutError) and put.timeout is not None
    closed = isinstance(put.error, BusClosedError) and put.life.over
    known = timed_out or closed or isinstance(put.error, QueueFullError | StoreError)
    return None if known else f"failed with {put.error!r}"


def _problem_of_result(put: PutLog, story: Story | None) -> str | None:
    if isinstance(put.result_error, BusClosedError) and put.life.over:
        return None
    if story is None or put.result_at is None or not story.over:
        return f"had a result, {put.value or put.result_error!r}, and is not over"
    if story.changes[-1].at > put.result_at:
        return f"had a result at {put.result_at:.3f}, before that was durable"
    expected = ENDS.get(story.job.state)
    if expected is not None:
        return None if isinstance(put.result_error, expected) else f"is {story.job.state}: {put.result_error}"
    fits = put.result_error is None and put.value == story.value
    return None if fits else f"gave {story.value}, and its program got {put.value or put.result_error!r}"


def attempts_hold_a_lease(evidence: Evidence) -> Iterator[str]:
    """A job is taken up under a token that is durable, the worker's own, and once. agents.md, *Leases*."""
    history = evidence.queue
    if history is None:
        return
    known = by_token(history)
    seen: set[str] = set()
    for attempt in history.attempts:
        story = known.get(attempt.token)
        granted_at = None if story is None else story.granted_at(attempt.token)
        if story is None or granted_at is None or granted_at > attempt.began_at:
            yield f"{attempt} had no durable lease"
        elif f"/{attempt.life.node}/" not in _worker(story, attempt.token):
            yield f"{attempt} had a lease of {_worker(story, attempt.token)}"
        if attempt.token in seen:
            yield f"{attempt} took up a lease for the second time"
        seen.add(attempt.token)


def _worker(story: Story, token: str) -> str:
    leases = (change.after.lease for change in story.changes)
    return next(lease.worker for lease in leases if lease is not None and lease.token == token)


def jobs_go_their_way(evidence: Evidence) -> Iterator[str]:
    """Only a valid token ends an attempt, an end stays, and attempts are bounded. agents.md, *Leases*."""
    history = evidence.queue
    if history is None or evidence.plan.queue is None:
        return
    most = evidence.plan.queue.max_attempts
    for story in stories(history).values():
        allowed = story.job.max_attempts or most
        for change in story.changes:
            before, after = change.before, change.after
            if after.attempts > allowed:
                yield f"{story} had {after.attempts} attempts of {allowed}"
            if before is None:
                continue
            if before.state not in LIVE:
                yield f"{story} was {before.state}, and changed at {change.at:.3f} to {after.state}"
            token = None if before.lease is None else before.lease.token
            if settled(before) != settled(after) and settled(after)[0] != token:
                yield f"{story} was settled at {change.at:.3f} under a token that was not valid"
            if after.state == "done" and settled(after) != (token, "ack"):
                yield f"{story} was done at {change.at:.3f} without an ack under its token"


def jobs_are_acked_once(evidence: Evidence) -> Iterator[str]:
    """An attempt is acked if its worker was not told otherwise, and only then. agents.md, *Leases*."""
    history = evidence.queue
    if history is None:
        return
    known = by_id(history)
    for attempt in history.attempts:
        story = known.get(attempt.job_id)
        if story is None:
            continue
        acked = settled(story.job) == (attempt.token, "ack")
        if acked and (attempt.outcome != "returned" or story.value != attempt.value):
            yield f"{attempt} {attempt.outcome or 'never ended'}, and was acked with {story.value}"
        elif acked and _was_told_lost(attempt):
            yield f"{attempt} was acked, and its worker was told that its lease was lost"
        elif attempt.outcome == "returned" and not acked and not _may_be_unheard(story, attempt):
            yield f"{attempt} returned, and was not acked: {story} is {story.job.state}"


def _was_told_lost(attempt: AttemptLog) -> bool:
    return any(
        isinstance(event, JobLeaseLost)
        and (event.job_id, event.attempt) == (attempt.job_id, attempt.number)
        and at >= attempt.began_at
        for at, event in attempt.life.events
    )


def _may_be_unheard(story: Story, attempt: AttemptLog) -> bool:
    return attempt.life.over or _was_told_lost(attempt) or story.job.state == "cancelled"


def redeliveries_have_a_reason(evidence: Evidence) -> Iterator[str]:
    """A job runs again if it failed, was handed back, its worker died, or its lease ended in trouble.

    agents.md, *Leases*: silence redelivers when the lease is over, a certified death at once.
    """
    history, spec = evidence.queue, evidence.plan.queue
    if history is None or spec is None:
        return
    attempts = {attempt.token: attempt for attempt in history.attempts}
    for story in stories(history).values():
        for change in story.changes:
            lease = None if change.before is None else change.before.lease
            if not change.lost or lease is None:
                continue
            granted = story.granted_at(lease.token) or 0.0
            node = lease.worker.split("/")[-2]
            if _has_gone(evidence, history, node, attempts.get(lease.token), change.at):
                continue
            if (
                change.at - granted < spec.lease - max(WRITE_DELAYS) - MOMENT
            ):  # it runs since before it was durable
                yield f"{story} was taken from {node} after {change.at - granted:.3f} s, and it lived"
            elif not _was_in_trouble(evidence, history, change.at):
                yield f"{story} was taken from {node} at {change.at:.3f} though nothing was wrong"


def _has_gone(evidence: Evidence, history: History, node: str, attempt: AttemptLog | None, at: float) -> bool:
    """Tell whether it can be certain that the worker does not work on the job."""
    lives = [life for life in evidence.lives if life.node == node] if attempt is None else [attempt.life]
    ends = [end for life in lives for end in (life.killed_at, life.closing_at) if end is not None]
    drains = [when for when, life in history.drains if life in lives]
    return any(when <= at for when in ends + drains) or any(life.ended_with is not None for life in lives)


def _was_in_trouble(evidence: Evidence, history: History, at: float) -> bool:
    """Tell whether anything has gone wrong by then, or the queue has had another host."""
    faults = any(not _is_program(step) and step.at <= at for step in evidence.plan.steps)
    return faults or len({written.epoch for written in history.written if written.at <= at}) > 1


def _is_program(step: object) -> bool:
    return type(step).__name__ in {"PutJobs", "StartNode", "CancelJob", "HoldQueue"}


def jobs_start_in_order(evidence: Evidence) -> Iterator[str]:
    """First attempts begin by priority, and inside a tenant in the order of puts. agents.md, *Leases*."""
    history = evidence.queue
    if history is None:
        return
    waiting: dict[int, tuple[int, str]] = {}
    for written in history.written:
        begun = [job for job in written.jobs.values() if job.state == "leased" and job.attempts == 1]
        for number in written.jobs:
            waiting_one = waiting.pop(number, None)
            begun = begun if waiting_one is not None else [job for job in begun if job.number != number]
        for job in begun:
            for number, (priority, tenant) in waiting.items():
                older = priority == job.priority and tenant == job.tenant and number < job.number
                if older or priority > job.priority:
                    yield f"{job.id} began at {written.at:.3f} before the job with number {number}"
        for number, job in written.jobs.items():
            if job.state == "queued" and job.attempts == 0 and job.due <= job.put:
                waiting[number] = job.priority, job.tenant


def payments_happen_once(evidence: Evidence) -> Iterator[str]:
    """What an attempt has recorded, no other repeats. agents.md, *Leases*."""
    history = evidence.queue
    if history is None:
        return
    for job_id, count in Counter(payment.job_id for payment in history.payments).items():
        if count > 1:
            yield f"{job_id} was paid {count} times"


def the_numbers_add_up(evidence: Evidence) -> Iterator[str]:
    """At rest the host's numbers are those of the disk. Issue: stats of a queue."""
    history = evidence.queue
    if history is None:
        return
    stats = history.stats
    if stats is None:
        yield "nobody could ask for the numbers"
        return
    states = Counter(story.job.state for story in stories(history).values() if story.erased_at is None)
    told = {
        "done": stats.done,
        "dead": stats.dead,
        "live": stats.queued + stats.delayed + stats.leased + stats.waiting,
    }
    dead = states["failed"] + states["rejected"]
    live = states["queued"] + states["leased"] + states["waiting"]
    if told != {"done": states["done"], "dead": dead, "live": live}:
        yield f"the host says {told}, and the disk has {dict(states)}"
