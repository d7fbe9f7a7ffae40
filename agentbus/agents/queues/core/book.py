"""`Book`: all jobs of a queue, each where its state puts it, and what of it is to be stored."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from agentbus.agents.queues.core.bodies import RecentBodies
from agentbus.agents.queues.core.changes import Changes
from agentbus.agents.queues.core.job import NewJob
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.core.ready import ReadyQueue
from agentbus.agents.queues.core.record import DEAD, LIVE, STATES, Job, State
from agentbus.agents.queues.core.timers import Timers
from agentbus.errors import NoSuchJobError

FORGOTTEN_NOTE = "forgotten"
"""See `Book.forgotten`."""


class Book:
    """All jobs of a queue.

    Args:
        name: the queue's.
        options: what it allows.

    Attributes:
        name: see above.
        options: see above.
        jobs: by number, ascending.
        ids: by id.
        unique: number of the job that is not over, by its unique text.
        steps: numbers of a flow's steps, in their order, by its number.
        ready: jobs that could begin.
        delayed: jobs that are due later, on the queue's clock.
        results: jobs that are done or cancelled, in the order in which they are forgotten; a flow is
            followed by its steps.
        dead: dead letters, likewise.
        counts: jobs by state.
        live_bytes: of the bodies of jobs that are not over.
        bytes: of all bodies.
        changes: what is to be stored.
        recent: bodies that need not be read.
        last: the highest number so far.
        ended: jobs that are over, in the order in which they ended.
        last_end: when the last one did.
        forgotten: when the last of those ended that were forgotten as too old or too many; 0 if none was.
    """

    def __init__(self, name: str, options: QueueOptions) -> None:
        self.name = name
        self.options = options
        self.jobs: dict[int, Job] = {}
        self.ids: dict[str, Job] = {}
        self.unique: dict[str, int] = {}
        self.steps: dict[int, list[int]] = {}
        self.ready = ReadyQueue()
        self.delayed = Timers()
        self.results: OrderedDict[int, None] = OrderedDict()
        self.dead: OrderedDict[int, None] = OrderedDict()
        self.counts: dict[State, int] = dict.fromkeys(STATES, 0)
        self.live_bytes = 0
        self.bytes = 0
        self.changes = Changes()
        self.recent = RecentBodies()
        self.last = 0
        self.ended: dict[int, None] = {}
        self.last_end = 0.0
        self.forgotten = 0.0

    @property
    def live(self) -> int:
        """How many jobs are not over."""
        return sum(self.counts[state] for state in LIVE)

    def find(self, job_id: str) -> Job:
        """Give a job by its id.

        Raises:
            NoSuchJobError: there is none.
        """
        job = self.ids.get(job_id)
        if job is None:
            raise NoSuchJobError(self.name, job_id)
        return job

    # -- in --------------------------------------------------------------------------------------------------

    def make(self, new: NewJob, at: float, *, job_id: str, parent: int = 0) -> Job:
        """Make a job with the next number; it has no place yet.

        Args:
            new: as it was put.
            at: the time.
            job_id: the id that it gets.
            parent: number of the flow that it is a step of.
        """
        self.last += 1
        body = bytes(new.body)
        job = Job(self.last, job_id, new.type, new.version, len(body), new.priority, new.tenant, at, at)
        job.parent = parent
        job.key = new.key
        if new.max_attempts is not None:
            job.max_attempts = max(1, new.max_attempts)
        self.changes.bodies[job.number] = body
        self.recent.add(job.number, body)
        return job

    def enter(self, job: Job, at: float) -> None:
        """Give a job its place; it is new here."""
        self.jobs[job.number] = job
        self.ids[job.id] = job
        self.last = max(self.last, job.number)
        self.last_end = max(self.last_end, job.ended)
        self.bytes += job.size
        if job.parent:
            self.steps.setdefault(job.parent, []).append(job.number)
        if job.unique is not None and job.state in LIVE:
            self.unique[job.unique] = job.number
        self._index(job, at)

    def touch(self, job: Job) -> None:
        """Have a job's head stored."""
        self.changes.heads[job.number] = None

    # -- from state to state ---------------------------------------------------------------------------------

    def move(self, job: Job, state: State, at: float) -> None:
        """Give a job another state, or the same one after its due time has changed."""
        self._unindex(job)
        job.state = state
        self._index(job, at)
        self.touch(job)

    def begin(self) -> Job | None:
        """Take the next job that is ready, to be leased; None if there is none."""
        number = self.ready.pop()
        if number is None:
            return None
        job = self.jobs[number]
        self.counts["queued"] -= 1
        self.counts["leased"] += 1
        job.state = "leased"
        self.touch(job)
        return job

    def promote(self, at: float) -> None:
        """Make jobs ready whose time has come."""
        while (number := self.delayed.pop(at)) is not None:
            job = self.jobs[number]
            self.ready.push(number, job.priority, job.tenant)

    def end(self, job: Job, state: State, at: float, body: bytes | None = None) -> None:
        """Move a job to its end.

        Args:
            job: all of its steps are over.
            state: which end.
            at: the time.
            body: JSON of what it has given, which takes the place of its message.
        """
        self._unindex(job)
        if job.unique is not None and self.unique.get(job.unique) == job.number:
            del self.unique[job.unique]
        if body is not None:
            self._replace(job, body)
        self.last_end = max(at, math.nextafter(self.last_end, math.inf))
        self.ended[job.number] = None
        job.state, job.ended, job.lease = state, self.last_end, None
        self._index(job, at)
        self.touch(job)

    def _replace(self, job: Job, body: bytes) -> None:
        self.bytes += len(body) - job.size
        job.size = len(body)
        self.changes.bodies[job.number] = body
        self.recent.drop(job.number)
        if job.parent:  # what comes after it will want it
            self.recent.add(job.number, body)

    def revive(self, job: Job) -> None:
        """Take a job that is over out of where it waits to be forgotten, to be moved back."""
        self.dead.pop(job.number, None)
        self.results.pop(job.number, None)
        self.ended.pop(job.number, None)
        job.ended = 0.0
        if job.unique is not None:
            self.unique.setdefault(job.unique, job.number)

    def _index(self, job: Job, at: float) -> None:
        state = job.state
        self.counts[state] += 1
        if state in LIVE:
            self.live_bytes += job.size
            if state == "queued":
                self._place(job, at)
        elif not job.parent:
            self.keep(job)

    def keep(self, root: Job) -> None:
        """Have a job that is over, and is no step, forgotten after those that are kept now."""
        kept = self.dead if root.state in DEAD else self.results
        kept.update(dict.fromkeys(self.tree(root.number)))

    def _place(self, job: Job, at: float) -> None:
        if job.due > max(at, job.put):  # a clock that was put back holds up nothing that was due already
            self.delayed.push(job.number, job.due)
        else:
            self.ready.push(job.number, job.priority, job.tenant)

    def _unindex(self, job: Job) -> None:
        self.counts[job.state] -= 1
        if job.state in LIVE:
            self.live_bytes -= job.size
            if job.state == "queued" and not self.delayed.remove(job.number):
                self.ready.remove(job.number)

    # -- trees -----------------------------------------------------------------------------------------------

    def tree(self, number: int) -> Iterator[int]:
        """Give a job's number and those of all its steps, their steps included; each before its steps."""
        waiting = [number]
        while waiting:
            each = waiting.pop()
            yield each
            waiting.extend(reversed(self.steps.get(each, ())))

    def root(self, job: Job) -> Job:
        """Give the flow that a job is in the end a step of; the job itself if it is none."""
        while job.parent:
            job = self.jobs[job.parent]
        return job

    # -- out -------------------------------------------------------------------------------------------------

    def forget(self, root: Job) -> int:
        """Erase a job that is no step, with its steps; gives how many records that were."""
        numbers = list(self.tree(root.number))
        for number in numbers:
            self._erase(self.jobs[number])
        return len(numbers)

    def _erase(self, job: Job) -> None:
        self._unindex(job)
        del self.jobs[job.number]
        del self.ids[job.id]
        self.steps.pop(job.number, None)
        if job.unique is not None and self.unique.get(job.unique) == job.number:
            del self.unique[job.unique]
        self.bytes -= job.size
        self.dead.pop(job.number, None)
        self.results.pop(job.number, None)
        self.ended.pop(job.number, None)
        self.recent.drop(job.number)
        self.changes.erase(job.number)

    def forget_old(self, at: float) -> None:
        """Forget results that were kept long enough, and what is too many of results and of dead letters."""
        while self.results:
            first = self.jobs[next(iter(self.results))]
            if len(self.results) <= self.options.max_results and first.ended + self.options.result_ttl > at:
                break
            self._forget_end(first)
        while len(self.dead) > self.options.max_dead:
            self._forget_end(self.jobs[next(iter(self.dead))])

    def _forget_end(self, job: Job) -> None:
        """Forget a job, or the flow that it belongs to, and remember that a reader of ends may lack it."""
        root = self.root(job)
        self.forgotten = max(self.forgotten, root.ended)
        self.changes.notes[FORGOTTEN_NOTE] = msgspec.json.encode(self.forgotten)
        self.forget(root)
