"""`Ending`: how a job is over, and who is told."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from agentbus.agents.failures import Failure
from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.job import JobEnd, Value
from agentbus.agents.queues.core.leases import Leases
from agentbus.agents.queues.core.record import LIVE, MAX_TRACEBACK, Job, State
from agentbus.agents.queues.core.turn import Ended


class Ending:
    """Ends jobs.

    Args:
        book: the queue's jobs.
        leases: its leases.

    Attributes:
        ended: the ends since they were last taken.
        step_over: called with a step that is over and the time.
    """

    def __init__(self, book: Book, leases: Leases) -> None:
        self._book = book
        self._leases = leases
        self.ended: list[JobEnd] = []
        self.step_over: Callable[[Job, float], object] | None = None

    def done(self, job: Job, value: Value | None, at: float) -> None:
        """End a job with what it has given; its lease is over."""
        value = value or Value()
        body = bytes(value.body)
        details = job.more()
        details.result_type, details.result_version = value.type, value.version
        details.failure, details.traceback, details.effects = None, "", ()
        self._over(job, "done", at, body)

    def die(self, job: Job, state: State, at: float, failure: Failure | None, traceback: str = "") -> None:
        """End a job as a dead letter, or as cancelled; its lease is over."""
        details = job.more()
        details.failure = failure
        details.traceback = traceback[-MAX_TRACEBACK:]
        self._over(job, state, at, None)

    def cancel(self, job: Job, at: float) -> None:
        """End a job as cancelled, leased or not; its steps are over."""
        if job.lease is not None:
            token, details = self._leases.revoke(job, cancelled=True), job.more()
            details.settled, details.outcome = token, "cancel"
        self.die(job, "cancelled", at, None)

    def _over(self, job: Job, state: State, at: float, body: bytes | None) -> None:
        self._book.end(job, state, at, body)
        self.ended.append(self._end_of(job, body))
        if job.parent and self.step_over is not None:
            self.step_over(job, at)

    def end_of(self, job: Job) -> Ended | None:
        """Give how a job has ended; None while it is not over."""
        if job.state in LIVE:
            return None
        body = self._book.changes.bodies.get(job.number) if job.state == "done" else None
        unread = job.state == "done" and body is None
        return Ended(self._end_of(job, body), job.number if unread else 0)

    def _end_of(self, job: Job, body: bytes | None) -> JobEnd:
        details = job.details
        if job.state == "done" and details is not None:
            raw = msgspec.Raw(b"null" if body is None else body)
            value = Value(details.result_type, details.result_version, raw)
            return JobEnd(job.id, job.state, value, None, job.attempts, job.ended)
        failure = None if details is None else details.failure
        return JobEnd(job.id, job.state, None, failure, job.attempts, job.ended)

    # -- for streams that go on ------------------------------------------------------------------------------

    @property
    def last(self) -> float:
        """When the last end was; 0 without any."""
        return self._book.last_end

    @property
    def forgotten(self) -> float:
        """When the last of those ends was that were forgotten as too old or too many."""
        return self._book.forgotten

    def between(self, after: float, until: float) -> list[int]:
        """Give the numbers of the jobs that ended between two times, the second included, in their order."""
        jobs, numbers = self._book.jobs, list[int]()
        for number in reversed(self._book.ended):
            at = jobs[number].ended
            if at <= after:
                break
            if at <= until:
                numbers.append(number)
        numbers.reverse()
        return numbers

    def of(self, number: int) -> Ended | None:
        """Give how a job has ended; None if it was forgotten, or is not over any more."""
        job = self._book.jobs.get(number)
        return None if job is None else self.end_of(job)
