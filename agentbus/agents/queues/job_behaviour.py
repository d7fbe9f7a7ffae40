"""A behaviour whose jobs fail alone: what a job's handler raises ends the attempt, and not the agent."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any

from agentbus.agents.delivery import Delivery
from agentbus.agents.queues.attempt import Attempt, Ran
from agentbus.agents.queues.messages import Settlement
from agentbus.errors import Reject, Retry
from agentbus.runtime.cell import Behaviour
from agentbus.runtime.cell_job import current_job


class JobBehaviour:
    """An agent that takes jobs beside its messages.

    Args:
        inner: what calls the agent's handlers.
    """

    def __init__(self, inner: Behaviour) -> None:
        self._inner = inner

    def on_start(self) -> Any:
        """Run the agent's hook."""
        return self._inner.on_start()

    def on_stop(self) -> Any:
        """Run the agent's hook."""
        return self._inner.on_stop()

    def on_failure(self, error: BaseException) -> Any:
        """Run the agent's hook."""
        return self._inner.on_failure(error)

    def on_control(self, message: Any) -> Any:
        """Run the agent's hook."""
        return self._inner.on_control(message)

    def on_message(self, message: Any) -> Any:
        """Handle one `Delivery`; the reply to a job is a `Ran`."""
        delivery: Delivery = message
        attempt = delivery.attempt
        if attempt is None:
            return self._inner.on_message(delivery)
        attempt.begun = True
        settlement: Settlement | None = None
        try:
            result = self._inner.on_message(delivery)
            if inspect.iscoroutine(result):
                attempt.begun = False  # until its task begins: one that is cancelled before says nothing
                return self._awaited(delivery, attempt, result)
            settlement = self._gave(delivery, attempt, result)
        except Exception as error:  # noqa: BLE001 -- whatever a handler raises is the failure of its job
            settlement = self._raised(delivery, attempt, error)
        except BaseException:
            attempt.desk.ended(attempt.lease.token, None)
            raise
        attempt.desk.ended(attempt.lease.token, settlement)
        return Ran(settlement)

    async def _awaited(self, delivery: Delivery, attempt: Attempt, work: Awaitable[Any]) -> Ran:
        settlement: Settlement | None = None
        attempt.begun = True
        try:
            value = await work
            task = asyncio.current_task()
            attempt.noticed = attempt.noticed or (task is not None and task.cancelling() > 0)
            settlement = self._gave(delivery, attempt, value)
        except Exception as error:  # noqa: BLE001 -- as above
            settlement = self._raised(delivery, attempt, error)
        finally:
            attempt.desk.ended(attempt.lease.token, settlement)
        return Ran(settlement)

    @staticmethod
    def _gave(delivery: Delivery, attempt: Attempt, value: Any) -> Settlement | None:
        job = current_job.get()
        future = None if job is None else job.future
        account = delivery.headers.budget
        if future is not None and future.done() and not future.cancelled():
            error = future.exception()  # it never came to a handler, or that declares this as its answer
            return attempt.gave(future.get(), account) if error is None else attempt.refused(error, account)
        return None if attempt.noticed else attempt.gave(value, account)

    @staticmethod
    def _raised(delivery: Delivery, attempt: Attempt, error: Exception) -> Settlement | None:
        job = current_job.get()
        cancelled = job is not None and job.token.cancelled
        if cancelled and not isinstance(error, Retry | Reject):
            return None  # it was torn out of its work: that is no failure of the job's
        return attempt.raised(error, delivery.headers.budget)
