"""`QueueAgent`: where a queue lives. Started by `bus.queue(name, store=…)`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import ClassVar

import msgspec

from agentbus.agents.agent import AsyncAgentActor
from agentbus.agents.events import SchedulesHeldUp
from agentbus.agents.handlers import handles
from agentbus.agents.message import Message
from agentbus.agents.queues.core.job import JobEnd, JobStatus, QueueStats, Value
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.host import QueueHost, Surroundings
from agentbus.agents.queues.listeners import MAX_WAITERS
from agentbus.agents.queues.messages import (
    Attach,
    Attached,
    AwaitEnd,
    DropSchedule,
    GetBody,
    GetJob,
    GetStats,
    JobPage,
    ListJobs,
    ListSchedules,
    Put,
    PutAnswer,
    PutSchedule,
    RecordEffect,
    Results,
    ScheduleStatus,
    Settle,
    Settled,
    Steer,
    Tail,
)
from agentbus.agents.queues.names import CAPABILITY
from agentbus.agents.queues.stores.store import Opened, QueueStore
from agentbus.agents.watching import AgentDown
from agentbus.errors import BodyTooLargeError, InvalidNameError, QueueError, StoreError
from agentbus.runtime import Subscription

SPARE_HANDS = 10_000
"""Messages that are served beside the calls that wait for results."""

_log = logging.getLogger("agentbus.agents")

ANSWERS = (BodyTooLargeError, InvalidNameError, QueueError, StoreError)
"""What askers get as it is: the queue goes on."""


class Plan(msgspec.Struct, frozen=True):
    """What a queue agent is started with, at every start.

    Attributes:
        queue: its name.
        options: see `QueueOptions`.
        store: where the jobs are.
        first: takes what was in the store when it was claimed for the first time; None at a restart.
        claimed: told of the epoch at each start.
        connected: whether other nodes can be reached.
        fenced: told once that another process has claimed the queue.
    """

    queue: str
    options: QueueOptions
    store: QueueStore
    first: Callable[[], Opened | None]
    claimed: Callable[[int], object]
    connected: Callable[[], bool]
    fenced: Callable[[Exception], object]


class QueueAgent(AsyncAgentActor):
    """Hosts one queue. Guests, peers without a node's token, can't ask it for anything: it is not public.

    Args:
        plan: see `Plan`.
    """

    capabilities = (CAPABILITY,)
    concurrency: ClassVar[int] = MAX_WAITERS + SPARE_HANDS
    ends_last: ClassVar[bool] = True
    _host: QueueHost

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._told: set[str] = set()

    # -- a life, in order ------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Take over what the store holds; after a restart under a new claim."""
        plan = self._plan
        opened = plan.first() or await plan.store.open(str(self.ref))
        around = Surroundings(self._tell, self._watch, plan.connected, plan.fenced, self._fail)
        self._host = QueueHost(plan.queue, plan.options, plan.store, opened, self.runtime, around)
        await self._host.restore()
        plan.claimed(opened.epoch)
        self._tick()

    def _tick(self) -> None:
        self._context.cell.call_later(self._host.tick(), self._tick)
        held_up = self._host.core.held_up
        if held_up or self._told:
            self._tell_of_schedules(held_up)

    def _tell_of_schedules(self, held_up: dict[str, str]) -> None:
        """Tell once of each schedule whose jobs find no room: no answer to anybody says so."""
        new = tuple(sorted(held_up.keys() - self._told))
        self._told = set(held_up)
        if new:
            reason = held_up[new[0]]
            _log.warning("jobs of the schedules %s wait for room: %s", ", ".join(new), reason)
            self.bus.report(SchedulesHeldUp(self._plan.queue, new, reason))

    async def on_stop(self) -> None:
        """Write what was taken; the store is closed by who opened it."""
        await self._host.finish()

    def on_failure(self, error: BaseException) -> None:
        """Leave the store to the next life."""
        del error
        host = getattr(self, "_host", None)
        if host is not None:
            host.close()

    def _fail(self, error: Exception) -> None:
        """Fail with a mistake that was made beside the messages: the next life has what the store has."""

        def fail() -> None:
            raise error

        self._context.cell.call_later(0, fail)

    def _tell(self, worker: str, message: Message) -> None:
        self.bus.ref(worker).tell(message)

    def _watch(self, worker: str, callback: Callable[[AgentDown], object]) -> Subscription:
        return self.bus.ref(worker).watch(callback)

    # -- who puts jobs ---------------------------------------------------------------------------------------

    @handles(raises=ANSWERS)
    async def put(self, message: Put) -> PutAnswer:
        """Take jobs; they are durable when the answer leaves."""
        return PutAnswer(await self._host.put(message.jobs))

    @handles(raises=ANSWERS)
    async def await_end(self, message: AwaitEnd) -> JobEnd:
        """Wait for the end of a job."""
        return await self._host.end_of(message.job_id)

    @handles(raises=ANSWERS)
    async def stream_results(self, message: Results) -> AsyncIterator[JobEnd]:
        """Stream the ends of jobs."""
        async with aclosing(self._host.results.read(message.after)) as ends:
            async for end in ends:
                yield end

    @handles(raises=ANSWERS)
    async def stream_changes(self, _message: Tail) -> AsyncIterator[JobStatus]:
        """Stream what becomes of jobs."""
        async for status in self._host.tail():
            yield status

    # -- workers ---------------------------------------------------------------------------------------------

    @handles(raises=ANSWERS)
    async def attach(self, message: Attach) -> Attached:
        """Take a sign of a worker; one whose address nobody could be told at is refused."""
        self.bus.ref(message.worker)
        return await self._host.attach(message)

    @handles(raises=ANSWERS)
    async def settle(self, message: Settle) -> Settled:
        """End attempts."""
        return Settled(await self._host.settle(message.settlements))

    @handles(raises=ANSWERS)
    async def record_effect(self, message: RecordEffect) -> None:
        """Keep an effect beside its job."""
        await self._host.record_effect(message.token, message.effect)

    # -- people ----------------------------------------------------------------------------------------------

    @handles(raises=ANSWERS)
    async def stats(self, _message: GetStats) -> QueueStats:
        """Give the queue in numbers."""
        return self._host.stats()

    @handles(raises=ANSWERS)
    async def list_jobs(self, message: ListJobs) -> JobPage:
        """List jobs."""
        return await self._host.list_jobs(message)

    @handles(raises=ANSWERS)
    async def get_job(self, message: GetJob) -> JobStatus:
        """Give one job."""
        return await self._host.job(message.job_id)

    @handles(raises=ANSWERS)
    async def get_body(self, message: GetBody) -> Value:
        """Give a job's message."""
        return await self._host.body(message.job_id)

    @handles(raises=ANSWERS)
    async def steer(self, message: Steer) -> int:
        """Pause, resume, cancel, retry, drop."""
        return await self._host.steer(message)

    # -- schedules -------------------------------------------------------------------------------------------

    @handles(raises=ANSWERS)
    async def put_schedule(self, message: PutSchedule) -> ScheduleStatus:
        """Keep a schedule."""
        return await self._host.put_schedule(message.schedule)

    @handles(raises=ANSWERS)
    async def drop_schedule(self, message: DropSchedule) -> bool:
        """Forget a schedule."""
        return await self._host.drop_schedule(message.name)

    @handles(raises=ANSWERS)
    async def list_schedules(self, _message: ListSchedules) -> list[ScheduleStatus]:
        """List the schedules."""
        return await self._host.schedules()
