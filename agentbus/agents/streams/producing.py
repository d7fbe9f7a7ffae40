"""What becomes of a handler's result where chunks are wanted: on the agent's thread or loop."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Generator, Iterator
from functools import partial
from typing import Any

from agentbus.agents.streams.pump import is_generator, pump_async, pump_on_thread
from agentbus.runtime.blocking import running_loop
from agentbus.runtime.cell_context import CellContext
from agentbus.runtime.cell_core import agent_failed
from agentbus.runtime.cell_job import CancelToken, Job, current_job
from agentbus.runtime.outlet import Outlet

Answers = tuple[type[Exception], ...]


class Later:
    """A coroutine that is made when it is awaited: one that is cancelled before is no mistake of anybody's.

    Args:
        make: makes it.
    """

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._make = make

    def __await__(self) -> Generator[Any, Any, None]:
        return self._make().__await__()


def streamed(outlet: Outlet[Any], result: Any, cell: CellContext, answers: Answers) -> Later | None:
    """Put what a handler yields into a stream, or its one reply as the only chunk.

    Args:
        outlet: of the stream.
        result: what the handler's call gave.
        cell: of the agent.
        answers: exceptions that are replies, not failures.

    Returns:
        What to await where the agent lives on a loop and there is something to wait for; else None.
    """
    if inspect.iscoroutine(result):
        return Later(partial(_only_chunk, outlet, result))
    if not is_generator(result):
        outlet.put(result)
        return None
    if running_loop() is not None:
        return Later(partial(_on_loop, outlet, result, cell.cancel_token, answers))
    _on_thread(outlet, result, cell, answers)
    return None


async def _only_chunk(outlet: Outlet[Any], coroutine: Coroutine[Any, Any, Any]) -> None:
    outlet.put(await coroutine)


async def _on_loop(outlet: Outlet[Any], chunks: object, token: CancelToken, answers: Answers) -> None:
    try:
        await pump_async(outlet, chunks, token)
    except answers:
        raise
    except Exception as error:
        _fail_once_begun(outlet, error)
        raise


def _on_thread(outlet: Outlet[Any], chunks: Iterator[Any], cell: CellContext, answers: Answers) -> None:
    try:
        pump_on_thread(outlet, chunks, cell.cancel_token)
    except answers:
        raise
    except Exception as error:
        _fail_once_begun(outlet, error)
        raise
    job = current_job.get()
    if job is not None and job.token.cancelled:
        _leave_open(job, cell)


def _fail_once_begun(outlet: Outlet[Any], error: Exception) -> None:
    """Tell the consumer at once: a second try of the message would begin with the first chunk again."""
    job = current_job.get()
    if job is not None and outlet.begun:
        job.fail(agent_failed(error))


def _leave_open(job: Job, cell: CellContext) -> None:
    """Let the end of the behaviour's time, which cut the handler off, tell the consumer why."""
    future, job.future = job.future, None
    if future is not None:
        cell.own(future.try_set_exception)
