"""`Views`: a queue as people see it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec

from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.job import JobState, JobStatus, QueueStats, Value
from agentbus.agents.queues.core.leases import Held, Leases
from agentbus.agents.queues.core.record import DEAD, LIVE, Details, Job
from agentbus.agents.queues.core.turn import UNREAD, Stored

MAX_PAGE = 500
_NONE = Details()


class Views:
    """Looks at a queue.

    Args:
        book: its jobs.
        leases: its leases.
    """

    def __init__(self, book: Book, leases: Leases) -> None:
        self._book = book
        self._leases = leases

    def stats(self, at: float) -> QueueStats:
        """Count what is there.

        Args:
            at: the queue's time.
        """
        book, counts = self._book, self._book.counts
        oldest = book.ready.oldest()
        return QueueStats(
            book.name,
            queued=len(book.ready),
            delayed=len(book.delayed),
            leased=counts["leased"],
            waiting=counts["waiting"],
            done=counts["done"],
            dead=counts["failed"] + counts["rejected"],
            bytes=book.bytes,
            workers=len(self._leases.fleet),
            oldest=0.0 if oldest is None else max(0.0, at - book.jobs[oldest].put),
        )

    def status(self, job: Job, now: float, at: float) -> JobStatus:
        """Describe a job.

        Args:
            job: which.
            now: monotonic seconds.
            at: the queue's time.
        """
        details = job.details or _NONE
        held = self._leases.held.get(job.number) or Held(job, now)
        options, parent = self._book.options, self._book.jobs.get(job.parent)
        return JobStatus(
            job.id,
            self._book.name,
            details.flow or job.type,
            self._state(job),
            job.priority,
            job.tenant,
            job.id if job.key is None else job.key,
            job.attempts,
            options.max_attempts if job.max_attempts is None else job.max_attempts,
            max(0.0, job.due - at) if job.state == "queued" else 0.0,
            max(0.0, at - job.put),
            None if job.lease is None else job.lease.worker,
            None if job.lease is None else max(0.0, held.ends - now),
            held.done,
            held.note,
            None if parent is None else parent.id,
            details.failure,
            details.traceback,
        )

    def _state(self, job: Job) -> JobState:
        return "delayed" if job.number in self._book.delayed else job.state

    def page(self, state: str, limit: int, after: str, now: float, at: float) -> tuple[list[JobStatus], str]:
        """List some jobs by ascending number; gives where the next page begins, empty after the last.

        Args:
            state: see `ListJobs`, as for the next two.
            limit: see there.
            after: see there.
            now: monotonic seconds.
            at: the queue's time.
        """
        begin = int(after) if after.isdecimal() else 0
        limit = max(1, min(limit, MAX_PAGE))
        found = (
            self._book.jobs[number]
            for number in self._candidates(state)
            if number > begin and self._is_wanted(self._book.jobs[number], state)
        )
        jobs = list(islice(found, limit + 1))
        statuses = [self.status(job, now, at) for job in jobs[:limit]]
        return statuses, str(jobs[limit - 1].number) if len(jobs) > limit else ""

    def _candidates(self, state: str) -> Iterable[int]:
        if state == "leased":
            return sorted(self._leases.held)
        if state in {"dead", *DEAD}:
            return sorted(self._book.dead)
        return self._book.jobs

    def _is_wanted(self, job: Job, state: str) -> bool:
        if not state:
            return job.state in LIVE
        return job.state in DEAD if state == "dead" else self._state(job) == state

    def body(self, job: Job) -> Stored:
        """Give where the body of a job is: its message, or what it has given once it is done."""
        body = self._book.changes.bodies.get(job.number) or self._book.recent.get(job.number)
        details = job.details
        kind, version = job.type, job.version
        if job.state == "done" and details is not None:
            kind, version = details.result_type, details.result_version
        return Stored(
            Value(kind, version, UNREAD if body is None else msgspec.Raw(body)), 0 if body else job.number
        )
