"""The puller: takes the jobs of one queue for the replicas of one worker, and says what became of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

import msgspec

from agentbus.agents.agent import AsyncAgentActor, ChildLost
from agentbus.agents.handlers import handles
from agentbus.agents.message import Request
from agentbus.agents.queues.absence import why_silent
from agentbus.agents.queues.core.job import Effect
from agentbus.agents.queues.fleet_plan import FleetPlan
from agentbus.agents.queues.holding import HAND_BACK_GRACE, Ended, Kill, Lost, Order, Start, Stop, Stuck
from agentbus.agents.queues.host_line import HostLine
from agentbus.agents.queues.messages import (
    Attached,
    Leased,
    RecordEffect,
    Revoked,
    Settle,
    Settled,
    Settlement,
)
from agentbus.agents.queues.puller_core import PullerCore
from agentbus.agents.queues.puller_desk import PullerDesk
from agentbus.agents.queues.puller_messages import DrainWorker, GetWorker, WorkerReport
from agentbus.agents.queues.replicas import Replicas
from agentbus.agents.queues.unsettled import retry_delay
from agentbus.agents.queues.worker_events import QueueAttached, QueueOutOfReach, event_of
from agentbus.errors import (
    AgentFailed,
    AgentRestarted,
    AgentStopped,
    AskTimeoutError,
    BusClosedError,
    LeaseLostError,
    MailboxFullError,
    NoSuchAgentError,
    OutcomeUnknownError,
    QueueFencedError,
    StoreError,
)
from agentbus.runtime import Future

WORKER_CAPABILITY = "agentbus.worker"
"""What workers are found by, with the metadata `queue`."""

HANDS = 100
"""Messages that a puller handles at a time: those that wait for the end of a drain, and some beside them."""

LAST_WORDS = 3.0
"""Seconds that a host gets to take note of what was handed back; then the leases have to run out."""


PASSING = (
    AgentFailed,
    AgentRestarted,
    AgentStopped,
    AskTimeoutError,
    MailboxFullError,
    NoSuchAgentError,
    OutcomeUnknownError,
    QueueFencedError,
    StoreError,
)
"""What a host fails with that may be otherwise in a moment, there or at its successor."""


class Broken(Exception):
    """The puller has failed outside any message."""


class Puller(AsyncAgentActor):
    """Stands between a queue's host and the replicas that handle jobs; its address is the worker's.

    Args:
        plan: the worker.
    """

    capabilities = (WORKER_CAPABILITY,)
    concurrency: ClassVar[int] = HANDS
    _core: PullerCore
    _line: HostLine
    _replicas: Replicas

    def __init__(self, plan: FleetPlan) -> None:
        self._plan = plan
        self._loop = self._context.cell.loop
        self._stepping = False
        self._timer: asyncio.TimerHandle | None = None
        self._open: dict[Future[Any], None] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._in_reach: bool | None = None
        self._handed_back = 0
        self._patience = math.inf
        self._over = False

    # -- a life, in order ------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Start the replicas, and look for the queue's host."""
        plan, address = self._plan, str(self.ref)
        self._core = PullerCore(
            plan.queue, address, self.runtime.new_id(), plan.slots, stall_timeout=plan.stall_timeout
        )
        self._line = HostLine(self.bus, plan.queue, self._loop, self._appeared)
        options = plan.options_of(self.restarts)
        try:
            hosted = self.bus.start_agent(plan.cls, plan.args, dict(plan.kwargs), options, self._context)
        except BusClosedError:  # the bus has ended in the meantime, and this agent is about to
            self._end()
            return
        self._replicas = Replicas(hosted, plan.queue, address, PullerDesk(self, self._loop))
        self._see_to_it()

    def on_child_lost(self, lost: ChildLost) -> None:
        """Go on with the other replicas, if there are any."""
        for slot in self._replicas.slots_of(str(lost.child), self._plan.slots):
            self._core.slot_gone(slot)
        if self._core.hopeless:
            raise lost.error
        self._see_to_it()

    def on_control(self, message: Any) -> None:
        """Fail with what has failed outside any message."""
        if isinstance(message, Broken):
            raise message

    def on_failure(self, error: BaseException) -> None:
        """Say nothing more: the leases of this puller end with its session, and the next has another."""
        del error
        self._end()

    async def on_stop(self) -> None:
        """Let jobs end, and hand back the others; the replicas have been asked to end by now."""
        if not self._over:
            await self._drain(self._plan.drain_timeout)
            self._end()

    def _end(self) -> None:
        self._over = True
        self._line.close()
        if self._timer is not None:
            self._timer.cancel()
        for future in list(self._open):
            future.cancel()

    # -- what it is told -------------------------------------------------------------------------------------

    @handles
    def leased(self, message: Leased) -> None:
        """Take jobs."""
        self._core.leased(message, self._now())
        self._see_to_it()

    @handles
    def revoked(self, message: Revoked) -> None:
        """Stop jobs."""
        self._core.revoked(message, self._now())
        self._see_to_it()

    @handles
    def report(self, _question: GetWorker) -> WorkerReport:
        """Say how the worker is."""
        core = self._core
        attached = core.attached and (self._line.is_here or self.bus.joined)
        return WorkerReport(
            self._plan.queue,
            self._plan.slots,
            core.running,
            core.over,
            core.failed,
            attached,
            core.draining,
            core.stuck,
            "" if attached else why_silent(self._plan.queue, self.bus.outlook()),
        )

    @handles
    async def drain(self, wish: DrainWorker) -> bool:
        """Take no more jobs, and wait until there are none."""
        await self._drain(self._plan.drain_timeout if wish.timeout is None else wish.timeout)
        return not self._handed_back

    async def _drain(self, timeout: float) -> None:  # noqa: ASYNC109 -- it ends the work, not this call
        now = self._now()
        self._core.drain(timeout, now)
        self._patience = min(self._patience, now + timeout + HAND_BACK_GRACE + LAST_WORDS)
        self._see_to_it()
        drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(drained)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._patience - now)):
                await drained

    # -- what replicas tell it, on the agents' loop ----------------------------------------------------------

    def job_progressed(self, token: str, done: float | None, note: str) -> None:
        """Take a mark of progress."""
        self._core.progressed(token, done, note, self._now())
        self._see_to_it()

    def job_ended(self, token: str, settlement: Settlement | None) -> None:
        """Take the end of a handler."""
        self._core.ended(token, settlement, self._now())
        self._replicas.forget(token)
        self._see_to_it()

    def job_broke(self, token: str, settlement: Settlement) -> None:
        """Take the end of an attempt whose agent has ended under it."""
        self._core.broke(token, settlement)
        self._see_to_it()

    async def keep_effect(self, token: str, job_id: str, effect: Effect) -> None:
        """Have the host keep an effect; said again until it has, or the job is ours no more."""
        tries = 0
        while self._core.is_held(token) and not self._over:
            kept = self._line.ask(RecordEffect(token, effect))
            if kept is not None:
                try:
                    return await kept
                except PASSING:
                    self._line.failed()
            await asyncio.sleep(retry_delay(tries))
            tries += 1
        raise LeaseLostError(self._plan.queue, job_id)

    # -- one step: what is due, all that a turn of the loop has brought together -----------------------------

    def _now(self) -> float:
        return self.clock.monotonic()

    def _see_to_it(self) -> None:
        if not self._stepping and not self._over:
            self._stepping = True
            self._loop.call_soon(self._step)

    def _step(self) -> None:
        self._stepping = False
        if self._over:
            return
        try:
            self._do_what_is_due(self._now())
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is this agent's failure
            broken = Broken(str(error))
            broken.__cause__ = error
            self._context.cell.ref.tell_control(broken)

    def _do_what_is_due(self, now: float) -> None:
        core = self._core
        core.tick(now)
        for order in core.take_orders():
            self._carry_out(order, now)
        attach = core.attach(now)
        if attach is not None:
            spent = self._replicas.spent()
            attach = msgspec.structs.replace(attach, spent=spent) if spent else attach
            self._say(attach, self._attached, self._not_attached)
        while batch := core.take_settlements(now):
            self._say(Settle(tuple(batch)), partial(self._settled, batch), partial(core.not_settled, batch))
        self._arm(core.next_due(), now)
        if core.drained:
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_result(None)
            self._waiting.clear()

    def _arm(self, due: float | None, now: float) -> None:
        timer = self._timer
        if timer is not None and not timer.cancelled():
            timer.cancel()
        if due is not None:
            self._timer = self._loop.call_later(max(0.0, due - now), self._step)

    def _carry_out(self, order: Order, now: float) -> None:
        match order:
            case Start():
                self._replicas.begin(order.job, order.slot, now)
            case Stop():
                self._replicas.stop(order.token)
            case Kill():
                self._replicas.kill(order.token)
            case Stuck() | Lost() | Ended():
                self._handed_back += isinstance(order, Ended) and order.settlement.outcome == "release"
                event = event_of(order, str(self.ref), self._plan.queue)
                if event is not None:
                    self.bus.report(event)

    # -- the host --------------------------------------------------------------------------------------------

    def _say(
        self, message: Request[Any], answered: Callable[[Any, float], None], failed: Callable[[float], None]
    ) -> None:
        future = self._line.ask(message)
        if future is None:
            failed(self._now())
            return
        self._open[future] = None
        future.quiet().add_done_callback(
            lambda done: self._loop.call_soon(self._answered, done, answered, failed)
        )

    def _answered(
        self, future: Future[Any], answered: Callable[[Any, float], None], failed: Callable[[float], None]
    ) -> None:
        self._open.pop(future, None)
        if self._over:
            return
        if future.exception() is None:
            answered(future.get(), self._now())
        else:
            self._line.failed()
            failed(self._now())
        self._see_to_it()

    def _attached(self, answer: Attached, now: float) -> None:
        self._core.attach_answered(answer, now)
        self._tell_reach()

    def _not_attached(self, now: float) -> None:
        self._core.attach_failed(now)
        self._tell_reach()

    def _tell_reach(self) -> None:
        attached = self._core.attached
        if attached is not self._in_reach:
            self._in_reach = attached
            address, queue = str(self.ref), self._plan.queue
            epoch = self._core.epoch
            self.bus.report(
                QueueAttached(address, queue, epoch) if attached else QueueOutOfReach(address, queue)
            )

    def _settled(self, batch: list[Settlement], answer: Settled, now: float) -> None:
        self._core.settled(batch, answer.refused, now)

    def _appeared(self) -> None:
        if not self._over:
            self._core.look_again(self._now())
            self._see_to_it()
