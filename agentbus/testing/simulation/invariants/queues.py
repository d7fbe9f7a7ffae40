"""What programs and workers may rely on with a queue: nothing acked is lost, nor lost and acked; acked once.

agents.md, *Leases*. The disk is the witness: see `agentbus.testing.simulation.queues.ledger`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from agentbus.agents.queues.core.record import LIVE
from agentbus.agents.queues.core.steering import PAUSED_NOTE
from agentbus.agents.queues.worker_events import JobLeaseLost
from agentbus.errors import (
    AgentError,
    AskTimeoutError,
    BusClosedError,
    JobCancelled,
    JobFailed,
    JobRejected,
    NoSuchJobError,
    QueueFullError,
    StoreError,
)
from agentbus.testing.simulation.evidence import Evidence
from agentbus.testing.simulation.queues.history import AttemptLog, History, PutLog
from agentbus.testing.simulation.queues.ledger import (
    Change,
    Story,
    by_id,
    by_token,
    root_of,
    settled,
    stories,
)

FORGOTTEN: Final = (JobCancelled, NoSuchJobError)
"""What a program is told of a job that somebody has dropped before it was over, or before it was told."""
OUTCOMES: Final = {
    "ack": {"returned"},
    "reject": {"rejected"},
    "fail": {"raised", "cancelled", "rejected"},
}
"""How an attempt may have ended, by what it was settled with: to reject is to fail if the lease was lost."""
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
        problem = _problem_of_durability(history, put, known)
        if problem is not None:
            yield f"{put} {problem}"
    for story in stories(history).values():
        if story.erased_at is not None:
            if not _may_be_dropped(history, story, story.erased_at):
                yield f"{story} was erased at {story.erased_at:.3f}, when it was {story.job.state}"
        elif not story.over:
            yield f"{story} is still {story.job.state}"
    there = [each.name for each in stories(history).values() if each.erased_at is None]
    for name, count in Counter(there).items():
        if count > 1 and name and name not in history.schedules:
            yield f"{name} is there {count} times"


def _problem_of_durability(history: History, put: PutLog, known: dict[str, Story]) -> str | None:
    if put.done_at is not None and put.error is None:
        story = known.get(put.job_id)
        late = story is None or story.changes[0].at > put.done_at
        dropped = story is None and _was_ordered(history, "drop", {put.job_id}, put.done_at)
        if late and not dropped:
            return f"was said to be durable at {put.done_at:.3f}, and was not"
    elif isinstance(put.error, QueueFullError) and any(each.name in put.names for each in known.values()):
        return "was refused by a full queue, which has it"
    return None


def _may_be_dropped(history: History, story: Story, at: float) -> bool:
    """Tell whether somebody wanted it to be forgotten, and it was over or had not begun."""
    root = root_of(history, story)
    if root is not story:
        return root.erased_at == at
    ended = all(each.ended_at is not None for each in history.attempts if each.job_id == story.job.id)
    begun = story.job.state == "leased" and not ended
    return not begun and _was_ordered(history, "drop", {story.job.id}, at)


def _was_ordered(history: History, action: str, ids: set[str], at: float) -> bool:
    """Tell whether somebody had steered some of these jobs, or all there are, by then."""
    return any(
        order.action == action and order.at <= at and (order.job_ids is None or order.job_ids & ids)
        for order in history.orders
    )


def puts_and_results_are_answered(evidence: Evidence) -> Iterator[str]:
    """Who lives is told, and told what is true: of a put, and of a job's end. agents.md, *Leases*."""
    history = evidence.queue
    if history is None:
        return
    known = by_id(history)
    for put in history.puts:
        problem = _problem_of_put(put)
        if problem is None and put.result_at is not None:
            problem = _problem_of_result(history, put, known.get(put.job_id))
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


def _problem_of_result(history: History, put: PutLog, story: Story | None) -> str | None:
    if isinstance(put.result_error, BusClosedError) and put.life.over:
        return None
    at = put.result_at or 0.0
    told = put.value or repr(put.result_error)
    erased = story is None or (story.erased_at is not None and story.erased_at <= at)
    dropped = erased and _was_ordered(history, "drop", {put.job_id}, at)
    if dropped and (isinstance(put.result_error, FORGOTTEN) or _was_given(history, put)):
        return None  # that it was allowed to be is another rule
    if story is None:
        return f"had a result, {told}, and is not there"
    ends = [change for change in story.changes if change.ends]
    if not ends:
        return f"had a result, {told}, and is not over"
    if ends[0].at > at:
        return f"had a result at {at:.3f}, before that was durable"
    if any(_fits(put, story, change.after.state) for change in ends if change.at <= at):
        return None
    return f"is {story.job.state} with {story.value}, and its program got {told}"


def _was_given(history: History, put: PutLog) -> bool:
    """Tell whether attempts have given what the program got: their acks may be in the batch of the drop."""
    given = {each.value for each in history.attempts}
    return put.value is not None and all(value in given for value in _texts(put.value))


def _texts(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:  # pyright: ignore[reportUnknownVariableType]  # it is JSON
            yield from _texts(each)
    else:
        yield value


def _fits(put: PutLog, story: Story, state: str) -> bool:
    expected = ENDS.get(state)
    if expected is not None:
        return isinstance(put.result_error, expected)
    return put.result_error is None and put.value == story.value


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
            if before.state not in LIVE and not _may_be_retried(history, story, change):
                yield f"{story} was {before.state}, and changed at {change.at:.3f} to {after.state}"
            token = None if before.lease is None else before.lease.token
            if settled(before) != settled(after) and settled(after)[0] != token:
                yield f"{story} was settled at {change.at:.3f} under a token that was not valid"
            if after.state == "done" and not after.flow and settled(after) != (token, "ack"):
                yield f"{story} was done at {change.at:.3f} without an ack under its token"


def _may_be_retried(history: History, story: Story, change: Change) -> bool:
    """Tell whether somebody wanted a dead job, or the dead flow that it is in, to be tried again."""
    root = root_of(history, story)
    ids = {each.job.id for each in stories(history).values() if root_of(history, each) is root}
    fresh = change.after.attempts == (change.after.state == "leased")
    ended = change.before is not None and change.before.state != "done"
    return fresh and ended and _was_ordered(history, "retry", ids, change.at)


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
        elif acked and _was_told_lost(attempt) and story.erased_at is None:  # else nobody knows it any more
            yield f"{attempt} was acked, and its worker was told that its lease was lost"
        elif attempt.outcome == "returned" and not acked and not _may_be_unheard(story, attempt):
            yield f"{attempt} returned, and was not acked: {story} is {story.job.state}"


def settlements_are_the_workers_own(evidence: Evidence) -> Iterator[str]:
    """What an attempt was settled with is what has become of it, and of no other. agents.md, *Leases*."""
    history = evidence.queue
    if history is None:
        return
    attempts = {attempt.token: attempt for attempt in history.attempts}
    for story in stories(history).values():
        for change in story.changes:
            token, outcome = settled(change.after)
            if change.before is not None and settled(change.before) == (token, outcome):
                continue
            attempt = attempts.get(token)
            fits = OUTCOMES.get(outcome)
            if fits is not None and (attempt is None or attempt.outcome_at(change.at) not in fits):
                yield f"{story} was settled at {change.at:.3f} with {outcome} by {attempt or 'nobody'}"


def _was_told_lost(attempt: AttemptLog) -> bool:
    return any(
        isinstance(event, JobLeaseLost)
        and (event.job_id, event.attempt) == (attempt.job_id, attempt.number)
        and at >= attempt.began_at
        for at, event in attempt.life.events
    )


def _may_be_unheard(story: Story, attempt: AttemptLog) -> bool:
    cancelled = any(change.after.state == "cancelled" for change in story.changes)
    return attempt.life.over or _was_told_lost(attempt) or cancelled or story.erased_at is not None


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
        for number in written.erased:
            waiting.pop(number, None)
        for job in begun:
            for number, (priority, tenant) in waiting.items():
                older = priority == job.priority and tenant == job.tenant and number < job.number
                if older or priority > job.priority:
                    yield f"{job.id} began at {written.at:.3f} before the job with number {number}"
        for number, job in written.jobs.items():
            if job.state == "queued" and job.attempts == 0 and job.due <= job.put:
                waiting[number] = job.priority, job.tenant


def nothing_begins_while_paused(evidence: Evidence) -> Iterator[str]:
    """No attempt begins from the moment at which a pause is durable, over restarts too. Issue: steering."""
    history = evidence.queue
    if history is None:
        return
    tokens: dict[int, str] = {}
    paused = False
    for written in history.written:
        if PAUSED_NOTE in written.notes:
            paused = written.notes[PAUSED_NOTE] is not None
        for number, job in written.jobs.items():
            token = "" if job.lease is None else job.lease.token
            if paused and token and token != tokens.get(number):
                yield f"{job.id} began at {written.at:.3f}, while the queue was paused"
            tokens[number] = token


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
