"""`Putting`: how jobs come in, all or none, each once."""

from __future__ import annotations

from collections.abc import Iterable

from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.flows import Flows
from agentbus.agents.queues.core.job import NewJob
from agentbus.agents.queues.core.record import Details, Job
from agentbus.errors import BodyTooLargeError, QueueFullError

MAX_DEPTH = 50
"""Flows within flows."""


class Putting:
    """Puts jobs into a queue.

    Args:
        book: its jobs.
        flows: lets their steps begin.

    Attributes:
        count: jobs that were put since the queue was opened, steps included.
    """

    def __init__(self, book: Book, flows: Flows) -> None:
        self._book = book
        self._flows = flows
        self.count = 0

    def put(self, jobs: Iterable[NewJob], at: float, *, beyond: bool = False) -> tuple[str, ...]:
        """Take jobs; one that is known is taken already.

        Args:
            jobs: which.
            at: the time.
            beyond: also those for which there is no room in the queue.

        Raises:
            QueueFullError: they are too many; none was taken.
            BodyTooLargeError: one is larger than a worker could be told; none was taken.
        """
        jobs = tuple(jobs)
        self._check_room([new for new in jobs if new.id not in self._book.ids], beyond=beyond)
        return tuple(self._put(new, at) for new in jobs)

    def _check_room(self, fresh: list[NewJob], *, beyond: bool) -> None:
        book, options = self._book, self._book.options
        total, size = 0, 0
        for new in fresh:
            count, bytes_of = self._measure(new)
            total, size = total + count, size + bytes_of
        if beyond and total > options.max_steps:
            raise QueueFullError(book.name, "jobs of one ack", options.max_steps)
        if not beyond and book.live + total > options.max_jobs:
            raise QueueFullError(book.name, "jobs", options.max_jobs)
        if not beyond and book.live_bytes + size > options.max_bytes:
            raise QueueFullError(book.name, "bytes", options.max_bytes)

    def _measure(self, new: NewJob) -> tuple[int, int]:
        """Count a job with all its steps, and the bytes of their messages."""
        if not new.steps:
            return 1, self._fitting(new)
        count, size, level, depth = 0, 0, [new], 0
        while level:
            count += len(level)
            size += sum(map(self._fitting, level))
            depth += 1
            if count > self._book.options.max_steps:
                raise QueueFullError(self._book.name, "jobs of one flow", self._book.options.max_steps)
            if depth > MAX_DEPTH:
                raise QueueFullError(self._book.name, "levels of flows", MAX_DEPTH)
            level = [step for each in level for step in each.steps]
        return count, size

    def _fitting(self, new: NewJob) -> int:
        """Count the bytes of a job's message, which has to go into one to its worker."""
        size, cap = _size(new), self._book.options.max_job_bytes
        told = size + text_bytes(new.id, new.type, new.tenant, new.key)
        if told > cap:
            raise BodyTooLargeError(told, cap)
        return size

    def _put(self, new: NewJob, at: float) -> str:
        if new.id in self._book.ids:
            return new.id
        other = None if new.unique is None else self._book.unique.get(new.unique)
        if other is not None:
            return self._book.jobs[other].id
        job = self._make(new, at, new.id)
        job.unique = new.unique
        if new.flow:
            self._enter_flow(job, new, at)
            self._flows.begin(job, at)
        else:
            job.due += at
            self._enter(job, at)
        return job.id

    def _make(self, new: NewJob, at: float, job_id: str, parent: int = 0) -> Job:
        job = self._book.make(new, at, job_id=job_id, parent=parent)
        job.due = max(0.0, new.delay)
        job.details = _details_of(new)
        if new.flow or parent:
            job.state = "waiting"
        return job

    def _enter_flow(self, flow: Job, new: NewJob, at: float) -> None:
        """Take a flow in with its steps; what a step says of `unique` is not heard."""
        self._enter(flow, at)
        for index, step in enumerate(new.steps):
            known = step.id in self._book.ids or not step.id
            job = self._make(step, at, f"{flow.id}/{index}" if known else step.id, flow.number)
            if step.flow:
                self._enter_flow(job, step, at)
            else:
                self._enter(job, at)

    def _enter(self, job: Job, at: float) -> None:
        self._book.enter(job, at)
        self._book.touch(job)
        self.count += 1


def text_bytes(*texts: str | None) -> int:
    """Give the bytes of texts in JSON, at most."""
    return sum(6 * len(text) for text in texts if text)


def _size(new: NewJob) -> int:
    return len(memoryview(new.body))


def _details_of(new: NewJob) -> Details | None:
    """Give the details of a new job, if it has any."""
    if new.flow:
        return Details(budget=new.budget, limit=new.budget, flow=new.flow, window=new.window)
    if new.soft_timeout is None and new.hard_timeout is None and new.budget is None:
        return None
    return Details(new.soft_timeout, new.hard_timeout, new.budget, limit=new.budget)
