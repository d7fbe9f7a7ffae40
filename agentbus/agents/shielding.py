"""Steps that run to their end though their message is cancelled: a payment, a commit, an undo."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextvars import copy_context
from typing import TypeVar

from agentbus.runtime import Future
from agentbus.runtime.cell_job import current_job, shielded

T = TypeVar("T")


async def shield(step: Awaitable[T]) -> T:
    """Run a step to its end, and deliver only then the cancellation that came meanwhile.

    A step that fails raises that instead: nobody else would learn of it.

    Args:
        step: a coroutine, whose asks are shielded too; or an ask that was sent, which is from now on.

    Raises:
        CancelledError: the message was cancelled, and the step has ended.
    """
    job = current_job.get()
    if job is not None and isinstance(step, Future):
        job.spare(step)
    context = copy_context()
    context.run(shielded.set, True)  # noqa: FBT003 -- a value
    task = asyncio.get_running_loop().create_task(_run(step), context=context)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None and (task.cancelled() or task.exception() is None):
        raise cancelled
    return task.result()


async def _run(step: Awaitable[T]) -> T:
    return await step
