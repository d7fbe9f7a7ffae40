"""The workers of simulated queues, and the message that they take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agentbus.agents.agent import AsyncAgentActor
from agentbus.agents.handlers import handles
from agentbus.agents.message import Request
from agentbus.errors import Reject
from agentbus.runtime import virtual_sleep
from agentbus.testing.simulation.bus.agents import JobFailedError
from agentbus.testing.simulation.queues.history import AttemptLog

if TYPE_CHECKING:
    from agentbus.testing.simulation.queues.part import QueuePart


class Task(Request[str], wire_name="simulation.Task"):
    """Something to do for a worker.

    Attributes:
        name: of the task; unique in the world.
        takes: virtual seconds.
        fails: attempts that raise.
        rejects: raise in a way that nobody tries again.
        pays: do something that must not be repeated, in the middle.
    """

    name: str
    takes: float = 0.0
    fails: int = 0
    rejects: bool = False
    pays: bool = False


class QueueWorker(AsyncAgentActor):
    """Does tasks, and writes down what it does.

    Args:
        part: of the life of the node that it lives on.
    """

    def __init__(self, part: QueuePart) -> None:
        self._part = part

    @handles
    async def work(self, task: Task) -> str:
        """Do a task; gives a text that no other attempt gives."""
        attempt = self._begin()
        try:
            await self._work(task)
        except asyncio.CancelledError:
            self._part.ended(attempt, "cancelled")
            raise
        except Reject:
            self._part.ended(attempt, "rejected")
            raise
        except Exception:
            self._part.ended(attempt, "raised")
            raise
        self._part.ended(attempt, "returned")
        return attempt.value

    def _begin(self) -> AttemptLog:
        job = self.job
        token = job._attempt.lease.token  # pyright: ignore[reportPrivateUsage]  # the witness
        return self._part.began(job.id, token, job.attempt, job.inputs)

    async def _work(self, task: Task) -> None:
        if task.takes:
            await virtual_sleep(task.takes / 2)
        if task.pays:
            async with self.effect("pay") as effect:
                if effect.needed:
                    self._part.pay(self.job.id)
        if task.takes:
            await virtual_sleep(task.takes / 2)
        if task.rejects:
            raise Reject("as it was told to")
        if self.job.attempt <= task.fails:
            raise JobFailedError(task.name)
