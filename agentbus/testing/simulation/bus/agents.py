"""The agents of the simulated nodes, and the message that they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentbus.agents.agent import AsyncAgentActor
from agentbus.agents.handlers import handles
from agentbus.agents.message import Message, Request
from agentbus.runtime import virtual_sleep
from agentbus.testing.simulation.bus.letters import Handling

if TYPE_CHECKING:
    from agentbus.testing.simulation.bus.nodes import NodeLife


FORWARD_TIMEOUT = 30.0
"""Seconds that an agent waits for another, if its own asker does."""


class Done(Message, wire_name="simulation.Done"):
    """The reply to a job: its name."""

    name: str


class Job(Request[Done], wire_name="simulation.Job"):
    """Something to do.

    Attributes:
        name: of the letter that brings it.
        takes: virtual seconds.
        fails: raise when it is done.
        forward: an agent to ask the same, without forwarding, before it is done.
        pad: makes the message larger.
    """

    name: str
    takes: float = 0.0
    fails: bool = False
    forward: str | None = None
    pad: str = ""


class JobFailedError(Exception):
    """What a handler raises that was told to."""


class Worker(AsyncAgentActor):
    """Does jobs one at a time, and writes down what it does.

    Args:
        life: of the node that it lives on.
    """

    capabilities = ("work",)

    def __init__(self, life: NodeLife) -> None:
        self._life = life

    @handles
    async def work(self, job: Job) -> Done:
        """Do a job."""
        handling = self._life.began(job.name, self.name)
        handling.raised = True
        try:
            await self._work(job)
            handling.raised = False
        finally:
            self._life.ended(handling)
        return Done(job.name)

    async def _work(self, job: Job) -> None:
        if job.takes:
            await virtual_sleep(job.takes)
        if job.forward is not None:
            left = self.time_left
            await self._life.forward(
                job.forward, FORWARD_TIMEOUT if left is None else min(left, FORWARD_TIMEOUT)
            )
        if job.fails:
            raise JobFailedError(job.name)


__all__ = ["Done", "Handling", "Job", "JobFailedError", "Worker"]
