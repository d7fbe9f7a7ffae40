"""How the chunks of a generator handler get into a stream: never ahead of the credit.

A generator is not advanced before there is credit for what it yields. It is closed when it has ended, when
nobody wants more, and when its agent's time is over: an async one is cancelled at its await, or closed at its
`yield`; a sync one is closed at its `yield`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, cast

from agentbus.runtime.cell_job import CancelToken
from agentbus.runtime.outlet import Outlet

CANCEL_WAIT = 1.0
"""Seconds that a pump waits for the cancelling of its task, which is on its way by then."""


def is_generator(value: object) -> bool:
    """Whether a handler gave chunks and not a reply."""
    return inspect.isgenerator(value) or inspect.isasyncgen(value)


async def pump_async(outlet: Outlet[Any], chunks: object, token: CancelToken) -> None:
    """Put what a generator yields into an outlet, on the agent's loop.

    Args:
        outlet: where to.
        chunks: an async iterator, or a sync generator whose steps don't block.
        token: of the message; once it is cancelled, so is the task that runs this, by the cell.
    """
    if inspect.isgenerator(chunks):
        chunks = _stepwise(cast("Generator[Any]", chunks))
    await _AsyncPump(outlet, cast("AsyncIterator[Any]", chunks), token).run()


async def _stepwise(chunks: Generator[Any]) -> AsyncIterator[Any]:
    try:
        for chunk in chunks:
            yield chunk
    finally:
        chunks.close()


class _AsyncPump:
    def __init__(self, outlet: Outlet[Any], chunks: AsyncIterator[Any], token: CancelToken) -> None:
        self._outlet = outlet
        self._chunks = chunks
        self._token = token
        self._advancing = False

    async def run(self) -> None:
        outlet, loop, task = self._outlet, asyncio.get_running_loop(), asyncio.current_task()
        outlet.on_close(partial(_call_soon, loop, self._interrupt, task))
        try:
            while await outlet.wait_async():
                if not await self._advance():
                    return
            await self._take_cancel()
        except asyncio.CancelledError:
            if not outlet.closed:
                raise
        finally:
            await self._close()

    async def _advance(self) -> bool:
        self._advancing = True
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            return False
        finally:
            self._advancing = False
        self._outlet.put(chunk)
        return True

    async def _close(self) -> None:
        aclose = getattr(self._chunks, "aclose", None)  # a source that is attached may have none
        if aclose is not None:
            await aclose()

    def _interrupt(self, task: asyncio.Task[Any]) -> None:
        """Cancel the generator at its await, unless the cell is about to."""
        if self._advancing and not self._token.cancelled:
            task.cancel()

    async def _take_cancel(self) -> None:
        """Let the cell's cancelling hit here, so that it doesn't hit the generator's own clean-up."""
        if self._token.cancelled:
            await asyncio.sleep(CANCEL_WAIT)


def _call_soon(loop: asyncio.AbstractEventLoop, fn: Any, *args: Any) -> None:
    with suppress(RuntimeError):  # the loop is closed: nothing runs there any more
        loop.call_soon_threadsafe(fn, *args)


def pump_on_thread(outlet: Outlet[Any], chunks: Iterator[Any], token: CancelToken) -> None:
    """Put what a sync generator yields into an outlet, on the agent's thread, which waits for credit.

    Args:
        outlet: where to.
        chunks: the generator.
        token: of the message; cancelling it wakes the thread.
    """
    token.on_cancel(outlet.close)
    generator = cast("Generator[Any]", chunks)
    try:
        while outlet.wait():
            try:
                chunk = next(generator)
            except StopIteration:
                return
            outlet.put(chunk)
    finally:
        generator.close()
