"""What becomes of a handler's result where chunks are wanted: on the agent's thread or loop."""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from typing import Any

from agentbus.agents.streams.pump import is_generator, pump_async, pump_on_thread
from agentbus.runtime.blocking import running_loop
from agentbus.runtime.cell_context import CellContext
from agentbus.runtime.cell_job import Job, current_job
from agentbus.runtime.outlet import Outlet


def streamed(outlet: Outlet[Any], result: Any, cell: CellContext) -> Any:
    """Put what a handler yields into a stream, or its one reply as the only chunk.

    Args:
        outlet: of the stream.
        result: what the handler's call gave.
        cell: of the agent.

    Returns:
        A coroutine to await where the agent lives on a loop and there is something to wait for; else None.
    """
    if inspect.iscoroutine(result):
        return _only_chunk(outlet, result)
    if not is_generator(result):
        outlet.put(result)
        return None
    if running_loop() is not None:
        return pump_async(outlet, result, cell.cancel_token)
    pump_on_thread(outlet, result, cell.cancel_token)
    job = current_job.get()
    if job is not None and job.token.cancelled:
        _leave_open(job, cell)
    return None


async def _only_chunk(outlet: Outlet[Any], coroutine: Coroutine[Any, Any, Any]) -> None:
    outlet.put(await coroutine)


def _leave_open(job: Job, cell: CellContext) -> None:
    """Let the end of the behaviour's time, which cut the handler off, tell the consumer why."""
    future, job.future = job.future, None
    if future is not None:
        cell.own(future.try_set_exception)
