"""A worker's agent in a process of its own; if the process dies of a job, the agent goes on with another."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from agentbus.agents.delivery import Delivery
from agentbus.agents.failures import describe
from agentbus.agents.processes.behaviour import ProcessBehaviour
from agentbus.agents.processes.child import Child
from agentbus.agents.processes.frames import EffectKept, Handle, JobProgress, KeepEffect
from agentbus.agents.queues.attempt import Attempt, settlement_of, unusable
from agentbus.agents.queues.messages import Settlement
from agentbus.errors import AgentError, BodyTooLargeError, LeaseLostError, ProcessExitedError
from agentbus.runtime import Future


class JobProcess(ProcessBehaviour):
    """An agent in a child process that takes jobs beside its messages."""

    _leaving = False

    async def on_stop(self) -> None:
        """Let the agent end, and wait for its process."""
        self._leaving = True
        await super().on_stop()

    async def on_failure(self, error: BaseException) -> None:
        """End the process."""
        self._leaving = True
        await super().on_failure(error)

    async def on_message(self, message: Any) -> None:
        """Hand one `Delivery` to the process; of a job, its attempt's desk hears what comes of it."""
        delivery: Delivery = message
        attempt = delivery.attempt
        if attempt is None:
            await super().on_message(delivery)
        elif self._child is not None:
            await self._do(delivery, attempt, self._child)
        else:  # another job has just cost the process
            attempt.desk.ended(attempt.lease.token, Settlement(attempt.lease.token, "release"))

    async def _do(self, delivery: Delivery, attempt: Attempt, child: Child) -> None:
        token, desk = attempt.lease.token, attempt.desk
        number = child.number()
        try:
            envelope = self._envelope(delivery, number)
        except BodyTooLargeError as error:
            desk.ended(token, unusable(token, error))
            return
        bare = msgspec.structs.replace(attempt.lease, body=msgspec.Raw(b"null"))  # the envelope has it
        handle = Handle(
            number,
            asked=True,
            left=self._time_left(delivery),
            envelope=envelope,
            job=bare,
            queue=attempt.queue,
        )
        self._deliveries[number] = delivery
        attempt.begun, attempt.kill = True, child.kill
        try:
            over = await child.handle_job(handle)
        except AgentError as error:
            await self._died(attempt, error)
        else:
            desk.ended(token, over.settlement)
        finally:
            attempt.kill = None
            self._deliveries.pop(number, None)

    async def _died(self, attempt: Attempt, error: AgentError) -> None:
        """Take the death of the process: of the job, if it had one, for its own."""
        token, desk = attempt.lease.token, attempt.desk
        settlement = settlement_of(token, error)
        desk.broke(token, msgspec.structs.replace(settlement, retry_in=0.0))
        if self._leaving:
            desk.ended(token, None)
            return
        self._child = None
        try:
            if not isinstance(error, ProcessExitedError):
                raise error  # the agent itself has failed there: its policy says what follows
            await self.on_start()
        finally:
            desk.ended(token, None)

    # -- what the process says of its jobs -------------------------------------------------------------------

    def _said_of_job(self, frame: JobProgress | KeepEffect) -> None:
        delivery = self._deliveries.get(frame.number)
        attempt = None if delivery is None else delivery.attempt
        child = self._child
        if isinstance(frame, JobProgress):
            if attempt is not None:
                attempt.desk.progress(attempt.lease.token, frame.done, frame.note)
        elif attempt is None:
            self._kept(child, frame.serial, Future.failed(LeaseLostError("", "")))
        else:
            lease = attempt.lease
            kept = attempt.desk.record(lease.token, lease.id, frame.effect)
            kept.quiet().add_done_callback(
                lambda future: self._cell.loop.call_soon(self._kept, child, frame.serial, future)
            )

    def _kept(self, child: Child | None, serial: int, future: Future[None]) -> None:
        """Answer the process that has asked: its successor counts its questions from 1 again."""
        if child is not None and child is self._child:
            error = asyncio.CancelledError() if future.cancelled() else future.exception()
            child.post(EffectKept(serial, None if error is None else describe(error)))
