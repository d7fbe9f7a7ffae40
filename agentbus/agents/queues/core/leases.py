"""`Leases`: which job is whose, and until when.

A token names its job, and with 128 random bits the attempt: nobody can guess one, and the token of an earlier
attempt is not valid. All leases are equally long, so the one that was renewed longest ago ends first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import msgspec

from agentbus.agents.budgets.wire import Spent
from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.fleet import Fleet, Worker
from agentbus.agents.queues.core.job import LeasedJob, Value
from agentbus.agents.queues.core.record import Details, Job, Lease
from agentbus.agents.queues.core.shares import less
from agentbus.agents.queues.core.turn import UNREAD, Granted

_NONE = Details()
_LONGEST_TOKEN = 200


class Held:
    """A job in the hands of a worker.

    Attributes:
        job: which.
        ends: monotonic time at which the lease ends.
        done: how much of it is done, 0 to 1, as its handler has said.
        note: what its handler has said.
        spent: what the attempt has used up of the job's budget, as far as its worker has said.
    """

    __slots__ = ("done", "ends", "job", "note", "spent")

    def __init__(self, job: Job, ends: float) -> None:
        self.job = job
        self.ends = ends
        self.done: float | None = None
        self.note = ""
        self.spent: Spent | None = None


class Leases:
    """The leases of a queue.

    Args:
        book: its jobs.
        new_token: gives 128 random bits as text.

    Attributes:
        duration: seconds of a lease.
        held: by the job's number; the lease that ends first comes first.
        fleet: the workers.
        grants: since they were last taken, by address and session.
        revoked: tokens, likewise.
        cancelled: those among them whose jobs somebody has cancelled; of the others the lease has ended.
        refused: settlements and renewals without a valid lease.
        unheard: numbers of jobs that the last host leased, by worker, until that says which of them it has.
    """

    def __init__(self, book: Book, new_token: Callable[[], str]) -> None:
        options = book.options
        self._book = book
        self._new_token = new_token
        self.duration = max(options.lease, options.min_lease)
        self.held: OrderedDict[int, Held] = OrderedDict()
        self.fleet = Fleet()
        self.grants: dict[tuple[str, str], list[Granted]] = {}
        self.revoked: dict[tuple[str, str], list[str]] = {}
        self.cancelled: set[str] = set()
        self.refused = 0
        self.unheard: dict[str, list[int]] = {}

    # -- begin -----------------------------------------------------------------------------------------------

    def grant(self, job: Job, worker: Worker, now: float) -> None:
        """Lease a job; an attempt begins."""
        token = f"{job.number:x}.{self._new_token()}"
        job.lease = Lease(token, worker.address, worker.session)
        job.attempts += 1
        self.held[job.number] = Held(job, now + self.duration)
        worker.held.add(job.number)
        self.fleet.offer(worker)
        self.grants.setdefault((worker.address, worker.session), []).append(self._granted(job, token))

    def restore(self, job: Job, now: float) -> None:
        """Take over a lease that the last host gave; it gets a full duration."""
        lease = job.lease
        if lease is None:
            return
        self.held[job.number] = Held(job, now + self.duration)
        worker = self.fleet.get(lease.worker) or self.fleet.see(lease.worker, lease.session, 0, now)
        worker.held.add(job.number)
        self.unheard.setdefault(lease.worker, []).append(job.number)

    def _granted(self, job: Job, token: str) -> Granted:
        details = job.details or _NONE
        body = self._book.changes.bodies.get(job.number) or self._book.recent.get(job.number)
        self._book.recent.drop(job.number)
        leased = LeasedJob(
            job.id,
            token,
            job.type,
            job.version,
            UNREAD if body is None else msgspec.Raw(body),
            job.attempts,
            job.id if job.key is None else job.key,
            self.duration,
            details.soft_timeout,
            details.hard_timeout,
            details.budget,
            details.effects,
            tuple(self._input(number) for number in details.inputs),
            job.tenant,
        )
        return Granted(leased, 0 if body is not None else job.number, details.inputs)

    def _input(self, number: int) -> Value:
        details = self._book.jobs[number].details or _NONE
        return Value(details.result_type, details.result_version)

    # -- meanwhile -------------------------------------------------------------------------------------------

    def job_of(self, token: str) -> Job | None:
        """Give the job that a token names, whether or not it is valid."""
        if len(token) > _LONGEST_TOKEN:
            return None
        try:
            return self._book.jobs.get(int(token.partition(".")[0], 16))
        except ValueError:
            return None

    def find(self, token: str) -> Held | None:
        """Give what a valid token stands for."""
        job = self.job_of(token)
        if job is None or job.lease is None or job.lease.token != token:
            return None
        return self.held.get(job.number)

    def renew(self, held: Held, now: float) -> None:
        """Give a lease a full duration from now."""
        held.ends = now + self.duration
        self.held.move_to_end(held.job.number)

    def renew_all(self, now: float) -> None:
        """Give every lease a full duration: its clock stood still."""
        for held in self.held.values():
            held.ends = now + self.duration
        self.fleet.see_all(now)

    # -- end -------------------------------------------------------------------------------------------------

    def first_ended(self, now: float) -> Job | None:
        """Give a job whose lease has ended; None if there is none."""
        held = next(iter(self.held.values()), None)
        return held.job if held is not None and held.ends <= now else None

    def let_go(self, job: Job) -> str:
        """End a lease: its token is not valid any more, and its spending is the job's; gives the token."""
        lease = job.lease
        if lease is None:
            return ""
        job.lease = None
        held, details = self.held.pop(job.number, None), job.details
        if held is not None and held.spent is not None and details is not None and details.budget is not None:
            details.budget = less(details.budget, held.spent)
        worker = self.fleet.get(lease.worker)
        if worker is not None and worker.session == lease.session:
            worker.held.discard(job.number)
            self.fleet.offer(worker)
        return lease.token

    def revoke(self, job: Job, *, cancelled: bool = False) -> str:
        """End a lease and tell its worker why; gives the token."""
        lease = job.lease
        token = self.let_go(job)
        if lease is not None:
            self.revoked.setdefault((lease.worker, lease.session), []).append(token)
            if cancelled:
                self.cancelled.add(token)
        return token
