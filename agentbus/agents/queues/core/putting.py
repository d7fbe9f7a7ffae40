"""`Putting`: how jobs come in, all or none, each once."""

from __future__ import annotations

from collections.abc import Iterable

from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.job import NewJob
from agentbus.agents.queues.core.record import Details, Job
from agentbus.errors import QueueFullError


class Putting:
    """Puts jobs into a queue.

    Args:
        book: its jobs.

    Attributes:
        put: jobs that were put since the queue was opened.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self.count = 0

    def put(self, jobs: Iterable[NewJob], at: float) -> tuple[str, ...]:
        """Take jobs; one that is known is taken already.

        Raises:
            QueueFullError: they are too many; none was taken.
        """
        jobs = tuple(jobs)
        self._check_room([new for new in jobs if new.id not in self._book.ids])
        return tuple(self._put(new, at) for new in jobs)

    def _check_room(self, fresh: list[NewJob]) -> None:
        book, options = self._book, self._book.options
        if book.live + len(fresh) > options.max_jobs:
            raise QueueFullError(book.name, "jobs", options.max_jobs)
        if book.live_bytes + sum(len(bytes(new.body)) for new in fresh) > options.max_bytes:
            raise QueueFullError(book.name, "bytes", options.max_bytes)

    def _put(self, new: NewJob, at: float) -> str:
        if new.id in self._book.ids:
            return new.id
        other = None if new.unique is None else self._book.unique.get(new.unique)
        if other is not None:
            return self._book.jobs[other].id
        job = self._book.make(new, at, job_id=new.id)
        job.unique = new.unique
        job.due = at + max(0.0, new.delay)
        job.details = details_of(new)
        self._enter(job, at)
        return job.id

    def _enter(self, job: Job, at: float) -> None:
        self._book.enter(job, at)
        self._book.touch(job)
        self.count += 1


def details_of(new: NewJob) -> Details | None:
    """Give the details of a new job, if it has any."""
    if new.soft_timeout is None and new.hard_timeout is None and new.budget is None:
        return None
    return Details(new.soft_timeout, new.hard_timeout, new.budget)
