"""`QueueCore`: a queue without clock, store or network: commands and a time in; answers and turns out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from agentbus.agents.failures import Failure, describe
from agentbus.agents.queues.core.attempts import Attempts
from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.calendar import next_tick
from agentbus.agents.queues.core.clock import QueueClock
from agentbus.agents.queues.core.effects import add_effect
from agentbus.agents.queues.core.ending import Ending
from agentbus.agents.queues.core.flows import Flows
from agentbus.agents.queues.core.job import LISTED, Effect, JobStatus, NewJob, QueueStats
from agentbus.agents.queues.core.leases import Leases
from agentbus.agents.queues.core.matching import Matching
from agentbus.agents.queues.core.opening import restoring
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.core.putting import Putting
from agentbus.agents.queues.core.schedules import NextTick, Schedules
from agentbus.agents.queues.core.steering import PAUSED_NOTE, Steering
from agentbus.agents.queues.core.turn import Ended, Stored, Turn
from agentbus.agents.queues.core.views import Views
from agentbus.agents.queues.messages import (
    Attach,
    Attached,
    JobPage,
    ListJobs,
    Schedule,
    ScheduleStatus,
    Settlement,
)
from agentbus.agents.queues.stores.store import Opened
from agentbus.errors import BodyTooLargeError, LeaseLostError, NoSuchJobStateError, QueueFullError
from agentbus.runtime.supervision import RandomSource

MAX_IDLE = 60.0
"""Seconds that a host waits at most for the next look at the clock, if nothing is due."""

CLOCK_NOTE = "clock"
CLOCK_PERIOD = 10.0
"""Seconds between two notes of the queue's clock, while something is written anyway."""


class QueueCore:
    """The rules of one queue.

    A command takes `now`, in monotonic seconds; it answers at once, but its answer may leave only when the
    batch of the next `take` is durable. `tick` is due at `next_due` at the latest.

    Args:
        name: the queue's.
        options: what it allows.
        opened: what its store holds.
        random: draws the jitter of retries.
        new_token: gives 128 random bits as text.
        now: monotonic seconds.
        wall: seconds since 1970.
        next_tick: the calendar of schedules.
        at_once: take over what the store holds before this returns; else `restoring` has to be exhausted
            before anything else is done.

    Attributes:
        name: see above.
        options: see above.
        epoch: of the host's claim.
        watched: whether turns say what has changed in which job.
        ends: how jobs have ended.
        restoring: takes over what the store holds, a slice of it with each `next`.
    """

    def __init__(
        self,
        name: str,
        options: QueueOptions,
        opened: Opened,
        *,
        random: RandomSource,
        new_token: Callable[[], str],
        now: float,
        wall: float,
        next_tick: NextTick = next_tick,
        at_once: bool = True,
    ) -> None:
        self.name = name
        self.options = options
        self.epoch = opened.epoch
        self._clock = QueueClock(_stored_clock(opened), now, wall)
        self._noted = _stored_clock(opened)  # so the first batch has the time
        self._book = Book(name, options)
        self._leases = Leases(self._book, new_token)
        self._ending = self.ends = Ending(self._book, self._leases)
        self._flows = Flows(self._book, self._ending)
        self._putting = Putting(self._book, self._flows)
        self._steering = Steering(self._book, self._flows, paused=PAUSED_NOTE in opened.notes)
        self._attempts = Attempts(self._book, self._leases, self._ending, self._put_along, random)
        self._schedules = Schedules(self._book, self._putting, next_tick, opened.notes, wall)
        self._views = Views(self._book, self._leases)
        at, notes = self._clock.at(now), opened.notes
        self._matching = Matching(self._book, self._leases, self._ending, self._steering, notes, now, at)
        self._ticked, self._ticked_wall = now, wall
        self._stood = False
        self.watched = False
        self.restoring = restoring(opened, self._book, self._leases, self._flows, now, at)
        if at_once:
            for _slice in self.restoring:
                pass

    # -- who puts jobs ---------------------------------------------------------------------------------------

    def put(self, jobs: Iterable[NewJob], now: float) -> tuple[str, ...]:
        """Take jobs, all or none; gives the ids under which they are known, in order.

        Raises:
            QueueFullError: they are too many.
            BodyTooLargeError: one is too large.
        """
        return self._putting.put(jobs, self._clock.at(now))

    def end_of(self, job_id: str) -> Ended | None:
        """Give how a job has ended; None while it is not over.

        Raises:
            NoSuchJobError: there is none.
        """
        return self._ending.end_of(self._book.find(job_id))

    def _put_along(self, jobs: tuple[NewJob, ...], at: float) -> Failure | None:
        try:
            self._putting.put(jobs, at, beyond=True)
        except (BodyTooLargeError, QueueFullError) as error:
            return describe(error)
        return None

    # -- workers ---------------------------------------------------------------------------------------------

    def attach(self, attach: Attach, now: float) -> Attached:
        """Take a sign of a worker, and renew what it holds.

        Raises:
            QueueFullError: no more workers can be attached.
        """
        fleet = self._leases.fleet
        self._end_other_life(attach, now)
        if fleet.get(attach.worker) is None and len(fleet) >= self.options.max_workers:
            raise QueueFullError(self.name, "workers", self.options.max_workers)
        fleet.see(attach.worker, attach.session, max(0, attach.capacity), now)
        for progress in attach.progress:
            held = self._leases.find(progress.token)
            if held is not None:
                held.done, held.note = progress.done, progress.note
        for token, spent in attach.spent.items():
            held = self._leases.find(token)
            if held is not None:
                held.spent = spent
        attached = self._renew(attach, now)
        if attach.worker in self._leases.unheard:
            self._take_back_unheard(attach, self._clock.at(now))
        return attached

    def _take_back_unheard(self, attach: Attach, at: float) -> None:
        """Take back what the last host leased and did not live to tell: the worker has never had it."""
        has = set(attach.holding)
        for number in self._leases.unheard.pop(attach.worker):
            job = self._book.jobs.get(number)
            lease = None if job is None else job.lease
            if job is None or lease is None:
                continue
            if lease.session == attach.session and lease.token not in has:
                self._attempts.take_back(job, at)

    def _end_other_life(self, attach: Attach, now: float) -> None:
        worker = self._leases.fleet.get(attach.worker)
        if worker is not None and worker.session != attach.session:
            self.worker_gone(attach.worker, worker.session, now)

    def _renew(self, attach: Attach, now: float) -> Attached:
        stalled, lost, cancelled = set(attach.stalled), list[str](), list[str]()
        for token in attach.holding:
            held = self._leases.find(token)
            if held is not None:
                if token not in stalled:
                    self._leases.renew(held, now)
            elif self._attempts.was_cancelled(token):
                cancelled.append(token)
            else:
                lost.append(token)
        return Attached(self.epoch, self._leases.duration, tuple(lost), tuple(cancelled))

    def settle(self, settlements: Iterable[Settlement], now: float) -> tuple[str, ...]:
        """End attempts; gives the tokens of those that did not count."""
        at = self._clock.at(now)
        return tuple(each.token for each in settlements if not self._attempts.settle(each, at))

    def record_effect(self, token: str, effect: Effect, now: float) -> None:
        """Keep an effect beside its job, and count that as a sign of progress.

        Raises:
            LeaseLostError: the token is not valid any more.
            QueueFullError: the job has too many effects, or too large ones.
        """
        held = self._leases.find(token)
        if held is None:
            job = self._leases.job_of(token)
            raise LeaseLostError(self.name, "" if job is None else job.id)
        add_effect(self._book, held.job, effect)
        self._leases.renew(held, now)
        if held.job.lease is not None:
            self._leases.fleet.touch(held.job.lease.worker, now)

    def worker_gone(self, worker: str, session: str | None, now: float) -> None:
        """Redeliver at once what a worker had that is certainly dead.

        Args:
            worker: its address.
            session: which life of it; None for any.
            now: the time.
        """
        found = self._leases.fleet.get(worker)
        if found is None or session not in (None, found.session):
            return
        self._leases.fleet.drop(worker)
        for number in sorted(found.held):
            job = self._book.jobs.get(number)
            if job is not None and job.lease is not None:  # else the end of the one before has ended its flow
                self._attempts.lost(job, self._clock.at(now))

    # -- time ------------------------------------------------------------------------------------------------

    def tick(self, now: float, wall: float, *, connected: bool) -> None:
        """Do what is due.

        Args:
            now: monotonic seconds.
            wall: seconds since 1970.
            connected: whether workers can reach the queue, and the store can be written. While not, and
                while the host itself stood still, no lease runs out.
        """
        at = self._clock.at(now)
        self._book.promote(at)
        self._end_leases(now, at, connected=connected)
        self._schedules.fire(wall, at)
        self._book.forget_old(at)
        self._ticked, self._ticked_wall = now, wall

    def _end_leases(self, now: float, at: float, *, connected: bool) -> None:
        stood_still = now - self._ticked > 3 * self.options.tick
        if not connected or self._stood or stood_still:
            self._stood = not connected
            self._leases.renew_all(now)
            return
        while (job := self._leases.first_ended(now)) is not None:
            self._attempts.lost(job, at)
        while (worker := self._leases.fleet.silent_since(now - self._leases.duration)) is not None:
            self._leases.fleet.drop(worker.address)

    def next_due(self, now: float) -> float:
        """Give the monotonic time of the next tick, at the latest."""
        due = now + MAX_IDLE
        delayed = self._book.delayed.next_due()
        if delayed is not None:
            due = min(due, self._clock.when(delayed))
        if len(self._leases.fleet) or self._leases.held:
            due = min(due, now + self.options.tick)
        wait = self._matching.wait(now)
        if wait is not None:
            due = min(due, now + wait)
        scheduled = self._schedules.next_due()
        if scheduled is not None:
            ahead = scheduled - self._ticked_wall
            # what the last tick found due and could not put, the queue being full, has no time of its own
            due = min(due, self._ticked + ahead if ahead > 0 else now + self.options.tick)
        return max(due, now)

    def put_schedule(self, schedule: Schedule, wall: float) -> ScheduleStatus:
        """Keep a schedule with the queue, in the place of one of the same name.

        Raises:
            ScheduleError: it makes no sense, or there are too many.
        """
        return self._schedules.put(schedule, wall)

    def drop_schedule(self, name: str) -> bool:
        """Forget a schedule; whether it was there."""
        return self._schedules.drop(name)

    def schedules(self, wall: float) -> list[ScheduleStatus]:
        """List the schedules by name."""
        return self._schedules.statuses(wall)

    @property
    def held_up(self) -> dict[str, str]:
        """The names of schedules whose jobs wait for room in the queue, and why."""
        return self._schedules.held_up

    # -- turns -----------------------------------------------------------------------------------------------

    def take(self, now: float) -> Turn | None:
        """Give jobs to workers, and give what the turn has brought; None if that is nothing."""
        self._matching.match(now, self._clock.at(now))
        book, leases, ended, gather = self._book, self._leases, self._ending.ended, self._flows.gather
        if not (book.changes or leases.grants or leases.revoked or ended or gather):
            return None
        self._note_clock(now)
        changed = self._changed(now) if self.watched else []
        batch, revoked = book.changes.take(book.jobs), leases.revoked
        turn = Turn(batch, leases.grants, revoked, ended, changed, gather, leases.cancelled)
        leases.grants, leases.revoked, leases.cancelled = {}, {}, set()
        self._ending.ended, self._flows.gather = [], {}
        return turn

    def _changed(self, now: float) -> list[JobStatus]:
        book, at = self._book, self._clock.at(now)
        return [self._views.status(book.jobs[number], now, at) for number in book.changes.heads]

    def gathered(self, flow: int, bodies: Mapping[int, bytes], now: float) -> None:
        """Take the bodies that `Turn.gather` asked for; the host asks its store until it has them.

        Args:
            flow: the key there.
            bodies: by number, as the store has given them.
            now: monotonic seconds.
        """
        self._flows.gathered(flow, bodies, self._clock.at(now))

    def _note_clock(self, now: float) -> None:
        at = self._clock.at(now)
        if at - self._noted >= CLOCK_PERIOD:
            self._noted = at
            self._book.changes.notes[CLOCK_NOTE] = msgspec.json.encode(at)

    # -- people ----------------------------------------------------------------------------------------------

    def steer(self, action: str, ids: Sequence[str], now: float) -> int:
        """Do what `Steer` says; gives how many jobs it concerned."""
        return self._steering.steer(action, ids, self._clock.at(now))

    def job(self, job_id: str, now: float) -> JobStatus:
        """Describe a job.

        Raises:
            NoSuchJobError: there is none.
        """
        return self._views.status(self._book.find(job_id), now, self._clock.at(now))

    def body(self, job_id: str) -> Stored:
        """Give a job's message, or what it has given once it is done.

        Raises:
            NoSuchJobError: there is none.
        """
        return self._views.body(self._book.find(job_id))

    def page(self, wanted: ListJobs, now: float) -> JobPage:
        """List some jobs.

        Raises:
            NoSuchJobStateError: no job is ever in that state.
        """
        if wanted.state and wanted.state not in LISTED:
            raise NoSuchJobStateError(self.name, wanted.state, LISTED)
        at = self._clock.at(now)
        statuses, after = self._views.page(wanted.state, wanted.limit, wanted.after, now, at)
        return JobPage(tuple(statuses), after)

    def stats(self, now: float) -> QueueStats:
        """Give the queue in numbers; `store` and `state` are the host's to say."""
        numbers = self._views.stats(self._clock.at(now))
        return msgspec.structs.replace(
            numbers,
            epoch=self.epoch,
            paused=self._steering.paused,
            put=self._putting.count,
            acked=self._attempts.acked,
            failed=self._attempts.failed,
            redelivered=self._attempts.redelivered,
            refused=self._leases.refused,
        )


def _stored_clock(opened: Opened) -> float:
    note = opened.notes.get(CLOCK_NOTE)
    return 0.0 if note is None else msgspec.json.decode(note, type=float)
