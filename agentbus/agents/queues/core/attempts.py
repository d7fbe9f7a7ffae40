"""`Attempts`: how an attempt at a job ends, and what follows.

ack ─────────────────────────────► done
fail, attempts left ─────────────► queued, due after a delay
fail, none left ─────────────────► failed      (dead letter)
reject ──────────────────────────► rejected    (dead letter)
release ─────────────────────────► queued, as if it had not begun
cancel ──────────────────────────► cancelled
lost (lease, death of its worker) ► queued at once; failed when none is left
"""

from __future__ import annotations

from collections.abc import Callable

from agentbus.agents.failures import Failure, describe
from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.ending import Ending
from agentbus.agents.queues.core.job import NewJob
from agentbus.agents.queues.core.leases import Leases
from agentbus.agents.queues.core.record import MAX_TRACEBACK, Job
from agentbus.agents.queues.core.retries import retry_delay
from agentbus.agents.queues.messages import Settlement
from agentbus.errors import LeaseLostError
from agentbus.runtime.supervision import RandomSource

PutAlong = Callable[[tuple[NewJob, ...], float], Failure | None]
"""Puts the jobs of an ack at a time; or gives why it can't, and then nothing was put."""


class Attempts:
    """Ends attempts.

    Args:
        book: the queue's jobs.
        leases: its leases.
        ending: ends jobs.
        put_along: puts the jobs of an ack.
        random: draws the jitter of delays.

    Attributes:
        acked: jobs since the queue was opened, as for those below.
        failed: attempts that failed.
        redelivered: attempts that were lost.
    """

    def __init__(
        self, book: Book, leases: Leases, ending: Ending, put_along: PutAlong, random: RandomSource
    ) -> None:
        self._book = book
        self._leases = leases
        self._ending = ending
        self._put_along = put_along
        self._random = random
        self._outcomes: dict[str, Callable[[Job, Settlement, float], None]] = {
            "ack": self._ack,
            "fail": self._fail,
            "reject": self._reject,
            "release": self._release,
            "cancel": self._cancel,
        }
        self.acked = 0
        self.failed = 0
        self.redelivered = 0

    def settle(self, settlement: Settlement, at: float) -> bool:
        """End an attempt as its worker says; whether that counts, now or already before."""
        job = self._leases.job_of(settlement.token)
        if job is None or job.lease is None or job.lease.token != settlement.token:
            counts = job is not None and self._is_again(job, settlement)
            self._leases.refused += not counts
            return counts
        held = self._leases.held.get(job.number)
        if held is not None and settlement.spent is not None:
            held.spent = settlement.spent
        self._leases.let_go(job)
        details = job.more()
        details.settled, details.outcome = settlement.token, settlement.outcome
        self._outcomes[settlement.outcome](job, settlement, at)
        return True

    def was_cancelled(self, token: str) -> bool:
        """Whether somebody has cancelled the job of a token while that was valid."""
        job = self._leases.job_of(token)
        details = None if job is None else job.details
        return details is not None and details.settled == token and details.outcome == "cancel"

    def _is_again(self, job: Job, settlement: Settlement) -> bool:
        details = job.details
        if details is None or details.settled != settlement.token:
            return False
        return details.outcome == settlement.outcome

    def _ack(self, job: Job, settlement: Settlement, at: float) -> None:
        refusal = self._put_along(settlement.jobs, at) if settlement.jobs else None
        if refusal is not None:
            self._ending.die(job, "rejected", at, refusal)
            return
        self.acked += 1
        self._ending.done(job, settlement.value, at)

    def _fail(self, job: Job, settlement: Settlement, at: float) -> None:
        self.failed += 1
        if self._used_up(job):
            self._ending.die(job, "failed", at, settlement.failure, settlement.traceback)
            return
        details = job.more()
        details.failure = settlement.failure
        details.traceback = settlement.traceback[-MAX_TRACEBACK:]
        delay = settlement.retry_in
        if delay is None:
            delay = retry_delay(self._book.options, job.attempts, self._random)
        self._again(job, at + max(0.0, delay), at)

    def _reject(self, job: Job, settlement: Settlement, at: float) -> None:
        self.failed += 1
        self._ending.die(job, "rejected", at, settlement.failure, settlement.traceback)

    def _release(self, job: Job, _settlement: Settlement, at: float) -> None:
        self._uncount(job, at)

    def _cancel(self, job: Job, _settlement: Settlement, at: float) -> None:
        self._ending.cancel(job, at)

    def lost(self, job: Job, at: float) -> None:
        """End an attempt whose lease is over; its worker is told."""
        self._leases.revoke(job)
        self.redelivered += 1
        if self._used_up(job):
            failure = describe(LeaseLostError(self._book.name, job.id))
            self._ending.die(job, "failed", at, failure)
        else:
            self._again(job, at, at)

    def take_back(self, job: Job, at: float) -> None:
        """End an attempt of which its worker has never heard: it does not count."""
        self._leases.let_go(job)
        self._uncount(job, at)

    def _uncount(self, job: Job, at: float) -> None:
        """Queue a job again as if its attempt had not begun."""
        job.attempts -= 1
        self._again(job, at, at)

    def _again(self, job: Job, due: float, at: float) -> None:
        job.due = due
        self._book.move(job, "queued", at)

    def _used_up(self, job: Job) -> bool:
        allowed = self._book.options.max_attempts if job.max_attempts is None else job.max_attempts
        return job.attempts >= allowed
