"""`QueueHost`: a queue at work: its core, its store, and who is to be told. On the agents' loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from agentbus.agents.message import Message
from agentbus.agents.queues.attendance import Attendance
from agentbus.agents.queues.commits import Commits
from agentbus.agents.queues.core.job import Effect, JobEnd, JobStatus, NewJob, QueueStats, Value
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.core.queue import QueueCore
from agentbus.agents.queues.core.turn import Turn
from agentbus.agents.queues.ends import EndStream
from agentbus.agents.queues.listeners import EndWaiters, Readers
from agentbus.agents.queues.messages import (
    Attach,
    Attached,
    JobPage,
    ListJobs,
    Schedule,
    ScheduleStatus,
    Settlement,
    Steer,
)
from agentbus.agents.queues.outbox import Outbox
from agentbus.agents.queues.stores.store import Opened, QueueStore
from agentbus.errors import NoSuchJobError, StoreError

if TYPE_CHECKING:
    from agentbus.agents.watching import AgentDown
    from agentbus.runtime import Future, Loop, Runtime, Subscription


T = TypeVar("T")

FINISH_TIMEOUT = 3.0
"""Seconds that the last batch gets to be written; nobody was told that it is."""


MIN_TICK = 0.001
"""Seconds between two ticks at least: what is due by a rounding of the queue's clock may not be due yet."""


class Surroundings(msgspec.Struct, frozen=True):
    """What a host is given by its agent.

    Attributes:
        tell: sends a message to a worker.
        watch: watches a worker.
        connected: whether other nodes can be reached.
        fenced: told once that another process has claimed the queue.
        failed: told once of a mistake of ours.
    """

    tell: Callable[[str, Message], object]
    watch: Callable[[str, Callable[[AgentDown], object]], Subscription]
    connected: Callable[[], bool]
    fenced: Callable[[Exception], object]
    failed: Callable[[Exception], object]


class QueueHost:
    """One life of a queue agent. Every command answers once what it has changed is durable.

    Args:
        name: the queue's.
        options: see `QueueOptions`.
        store: it is open.
        opened: what was in it.
        runtime: gives time and chance.
        around: see `Surroundings`.

    Attributes:
        core: the rules.
        waiters: who waits for ends.
        results: who reads all ends.
    """

    def __init__(
        self,
        name: str,
        options: QueueOptions,
        store: QueueStore,
        opened: Opened,
        runtime: Runtime,
        around: Surroundings,
    ) -> None:
        self.name = name
        self._options = options
        self._store = store
        self._loop: Loop = runtime.agents
        self._clock = self._loop.clock
        self._around = around
        self.core = QueueCore(
            name,
            options,
            opened,
            random=runtime.random,
            new_token=runtime.new_id,
            now=self._clock.monotonic(),
            wall=self._clock.wall(),
            at_once=False,
        )
        self.waiters = EndWaiters(name)
        self.results = EndStream(name, options, self.core.ends, store)
        self._tails: Readers[JobStatus] = Readers(name)
        self._outbox = Outbox(store, opened.epoch, around.tell, self._run)
        self._attendance = Attendance(around.watch, self._loop, self._worker_gone)
        self._commits = Commits(
            lambda: self.core.take(self.now()),
            store,
            self._loop,
            deliver=self._deliver,
            fenced=around.fenced,
            failed=around.failed,
        )

    async def restore(self) -> None:
        """Take over what the store holds, before anything else; others have the loop in between."""
        for _slice in self.core.restoring:
            await asyncio.sleep(0)
        self.results.told = self.core.ends.last
        self._commits.poke()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the messages."""
        self._loop.run(work).add_done_callback(self._check)

    def now(self) -> float:
        """Give the time."""
        return self._clock.monotonic()

    # -- who puts jobs ---------------------------------------------------------------------------------------

    async def put(self, jobs: tuple[NewJob, ...]) -> tuple[str, ...]:
        """Take jobs; all or none.

        Raises:
            QueueFullError: there is no room for them.
            StoreError: the store can't be written at the moment.
        """
        self._check_store()
        ids = self.core.put(jobs, self.now())
        await self._commits.durable()
        return ids

    async def end_of(self, job_id: str) -> JobEnd:
        """Wait for the end of a job.

        Raises:
            NoSuchJobError: there is none, or not any more.
            StoreError: its value can't be read.
            QueueFullError: too many wait.
        """
        try:
            ended = self.core.end_of(job_id)
        except NoSuchJobError:
            await self._commits.durable()  # it may have been dropped in this very turn
            raise
        if ended is None:
            return await self.waiters.wait(job_id)
        await self._commits.durable()  # it may have ended in this very turn
        return ended.filled(await self._read(job_id, ended.number) if ended.number else {})

    # -- workers ---------------------------------------------------------------------------------------------

    async def attach(self, attach: Attach) -> Attached:
        """Take a sign of a worker.

        Raises:
            QueueFullError: no more can be attached.
        """
        attached = self.core.attach(attach, self.now())
        self._attendance.saw(attach.worker, attach.session)
        if self._commits.problem is None:
            await self._commits.durable()
            return attached
        # no lease ends while the store can't be written, and a cancelling is nobody's business until it is
        return msgspec.structs.replace(attached, cancelled=())

    async def settle(self, settlements: tuple[Settlement, ...]) -> tuple[str, ...]:
        """End attempts; gives the tokens of those that did not count."""
        refused = self.core.settle(settlements, self.now())
        await self._commits.durable()
        return refused

    async def record_effect(self, token: str, effect: Effect) -> None:
        """Keep an effect beside its job.

        Raises:
            LeaseLostError: the job is not that worker's any more.
            StoreError: the store can't be written at the moment.
        """
        self._check_store()
        self.core.record_effect(token, effect, self.now())
        await self._commits.durable()

    def _worker_gone(self, worker: str, session: str) -> None:
        self.core.worker_gone(worker, session, self.now())
        self._commits.poke()

    # -- people ----------------------------------------------------------------------------------------------

    def stats(self) -> QueueStats:
        """Give the queue in numbers."""
        problem = self._commits.problem
        held_up = self.core.held_up
        if problem is not None:
            state = f"can't write: {problem}"
        elif held_up:
            state = f"too full for its schedules: {', '.join(sorted(held_up))}"
        else:
            state = "ok"
        return msgspec.structs.replace(
            self.core.stats(self.now()),
            store=self._store.text,
            state=state,
        )

    async def list_jobs(self, wanted: ListJobs) -> JobPage:
        """List jobs."""
        return await self._seen(self.core.page(wanted, self.now()))

    async def job(self, job_id: str) -> JobStatus:
        """Describe a job.

        Raises:
            NoSuchJobError: there is none.
        """
        return await self._seen(self.core.job(job_id, self.now()))

    async def body(self, job_id: str) -> Value:
        """Give a job's message.

        Raises:
            NoSuchJobError: there is none, or not any more.
            StoreError: it can't be read.
        """
        stored = await self._seen(self.core.body(job_id))
        return stored.filled(await self._read(job_id, stored.number) if stored.number else {})

    async def _read(self, job_id: str, number: int) -> dict[int, bytes]:
        """Read a job's body, which may have been dropped while others were waited for."""
        bodies = await self._store.bodies([number])
        if number not in bodies:
            raise NoSuchJobError(self.name, job_id)
        return bodies

    async def _seen(self, seen: T) -> T:
        """Give what was seen once it is durable; a store that can't be written keeps nobody from looking."""
        if self._commits.problem is None:
            await self._commits.durable()
        return seen

    async def steer(self, order: Steer) -> int:
        """Pause, resume, cancel, retry or drop; gives how many jobs that concerned."""
        count = self.core.steer(order.action, order.job_ids, self.now())
        await self._commits.durable()
        return count

    async def put_schedule(self, schedule: Schedule) -> ScheduleStatus:
        """Keep a schedule.

        Raises:
            ScheduleError: it makes no sense, or there are too many.
            StoreError: the store can't be written at the moment.
        """
        self._check_store()
        status = self.core.put_schedule(schedule, self._clock.wall())
        await self._commits.durable()
        return status

    async def drop_schedule(self, name: str) -> bool:
        """Forget a schedule; gives whether it was there."""
        there = self.core.drop_schedule(name)
        await self._commits.durable()
        return there

    async def schedules(self) -> list[ScheduleStatus]:
        """List the schedules."""
        return await self._seen(self.core.schedules(self._clock.wall()))

    async def tail(self) -> AsyncIterator[JobStatus]:
        """Give what becomes of jobs from now on.

        Raises:
            QueueFullError: there are too many readers.
            ResultsLostError: this one is too far behind.
        """
        self.core.watched = True
        try:
            async with aclosing(self._tails.read()) as statuses:
                async for status in statuses:
                    yield status
        finally:
            self.core.watched = len(self._tails) > 0

    def _check_store(self) -> None:
        problem = self._commits.problem
        if problem is not None:
            raise StoreError(f"queue {self.name!r} takes nothing until its store can be written: {problem}")

    # -- turns and time --------------------------------------------------------------------------------------

    def _deliver(self, turn: Turn) -> None:
        self._outbox.send(turn)
        for end in turn.ended:
            self.waiters.ended(end)
        self.results.tell(turn.ended)
        if turn.changed:
            self._tails.tell(turn.changed)
        for flow, numbers in turn.gather.items():
            self._run(self._gather(flow, numbers))

    async def _gather(self, flow: int, numbers: tuple[int, ...]) -> None:
        """Read what the steps of a flow have given, however long that takes: it ends with that."""
        bodies = await self._outbox.read(list(numbers))
        if not self._commits.over:
            self.core.gathered(flow, bodies, self.now())
            self._commits.poke()

    def _check(self, work: Future[None]) -> None:
        """Fail with work beside the messages that has failed."""
        error = None if work.cancelled() else work.exception()
        if isinstance(error, Exception) and not self._commits.over:
            self._around.failed(error)

    def tick(self) -> float:
        """Do what is due; gives the seconds until the next tick, at the latest."""
        now = self.now()
        writable = self._commits.problem is None
        self.core.tick(now, self._clock.wall(), connected=writable and self._around.connected())
        self._commits.poke()
        return min(self._options.tick, max(MIN_TICK, self.core.next_due(now) - now))

    # -- the end ---------------------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Write what was taken, if the store can be written, and end."""
        if self._commits.problem is None and not self._commits.over:
            with suppress(TimeoutError):
                async with asyncio.timeout(FINISH_TIMEOUT):
                    await self._commits.durable()
        self.close()

    def close(self) -> None:
        """End at once: nothing is written or told any more."""
        self._commits.close()
        self._outbox.close()
        self._attendance.close()
