"""Asks that come back to an agent which declares that it may be entered again while it waits."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from agentbus.agents.delivery import Delivery
from agentbus.errors import AgentRestarted
from agentbus.runtime import Future, Loop
from agentbus.runtime.cell_core import agent_failed
from agentbus.runtime.cell_job import Job, current_job


class Reentry:
    """An ask on an agent's control lane, which is served while a handler awaits.

    Args:
        delivery: the message.
        future: of the reply; a new one by default.
    """

    __slots__ = ("delivery", "future")

    def __init__(self, delivery: Delivery, future: Future[Any] | None = None) -> None:
        self.delivery = delivery
        self.future: Future[Any] = future or Future(cancellable_by_waiter=True)

    def refused(self) -> None:
        """The agent has no behaviour now, and so nothing that the ask could be part of."""
        error = AgentRestarted(f"{self.delivery.agent.address} ended what this ask was a part of")
        self.future.try_set_exception(error)

    async def run(self, handle: Callable[[Delivery], Any], loop: Loop) -> None:
        """Have the message handled, and answer; a failure is the agent's, as with any other message."""
        job = Job(self.future, message=self.delivery)
        task = asyncio.current_task()
        if job.over or task is None:
            return
        job.task = task
        job.token.on_cancel(lambda: loop.call_soon(task.cancel))
        token = current_job.set(job)
        try:
            result = handle(self.delivery)
            job.reply(await result if inspect.iscoroutine(result) else result)
        except asyncio.CancelledError:
            if not job.token.cancelled:
                self.refused()
                raise
        except BaseException as error:
            if job.gave_in(error):
                return
            job.fail(agent_failed(error))
            raise
        finally:
            current_job.reset(token)
