"""`Matching`: which job begins next, at which worker, and how often."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from agentbus.agents.failures import describe
from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.ending import Ending
from agentbus.agents.queues.core.leases import Leases
from agentbus.agents.queues.core.rate import TokenBucket
from agentbus.agents.queues.core.record import Job
from agentbus.agents.queues.core.steering import Steering
from agentbus.errors import BodyTooLargeError

RATE_NOTE = "rate"
"""Tokens of the bucket, and the queue's time at which it had them: a restart allows no fresh burst."""


class Matching:
    """Gives jobs that are ready to workers that have room, within the queue's rate and concurrency.

    Args:
        book: its jobs.
        leases: its leases.
        ending: ends jobs that no worker could be told.
        steering: says whether it is paused.
        notes: all notes of the store.
        now: monotonic seconds.
        at: the queue's time.
    """

    def __init__(
        self,
        book: Book,
        leases: Leases,
        ending: Ending,
        steering: Steering,
        notes: Mapping[str, bytes],
        now: float,
        at: float,
    ) -> None:
        self._book = book
        self._leases = leases
        self._ending = ending
        self._steering = steering
        self._bucket = _bucket_of(book, notes, now, at)

    @property
    def _may_begin(self) -> bool:
        """Whether a job would begin if there was a worker, and the rate allowed it."""
        most = self._book.options.concurrency
        room = most is None or len(self._leases.held) < most
        return room and len(self._book.ready) > 0 and not self._steering.paused

    def match(self, now: float, at: float) -> None:
        """Lease what may begin."""
        bucket, begun = self._bucket, False
        while self._may_begin:
            if bucket is not None and bucket.wait(now):
                break
            worker = self._leases.fleet.next_free()
            job = None if worker is None else self._book.begin()
            if worker is None or job is None:
                break
            size = self._told_bytes(job)
            if size > self._book.options.max_job_bytes:
                self._refuse(job, size, at)
                self._leases.fleet.offer(worker)
                continue
            if bucket is not None:
                begun = bucket.take(now)
            self._leases.grant(job, worker, now)
        if bucket is not None and begun:
            self._book.changes.notes[RATE_NOTE] = msgspec.json.encode((bucket.tokens, at))

    def _told_bytes(self, job: Job) -> int:
        """Count the bytes of a job's message, and of its inputs, which nobody knew when it was put."""
        details = job.details
        if details is None or not details.inputs:
            return job.size
        return job.size + sum(self._book.jobs[number].size for number in details.inputs)

    def _refuse(self, job: Job, size: int, at: float) -> None:
        error = BodyTooLargeError(size, self._book.options.max_job_bytes)
        self._ending.die(job, "rejected", at, describe(error))

    def wait(self, now: float) -> float | None:
        """Give the seconds until a job may begin that only the rate holds back; None if there is none."""
        if self._bucket is None or not self._may_begin or not self._leases.fleet.has_free:
            return None
        return self._bucket.wait(now)


def _bucket_of(book: Book, notes: Mapping[str, bytes], now: float, at: float) -> TokenBucket | None:
    options, note = book.options, notes.get(RATE_NOTE)
    if options.rate is None:
        return None
    bucket = TokenBucket(options.rate, options.rate_period, now)
    if note is not None:
        tokens, noted = msgspec.json.decode(note, type=tuple[float, float])
        bucket.resume(tokens, max(0.0, at - noted))
    return bucket
