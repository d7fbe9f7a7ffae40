"""A coroutine that was begun by hand, and finished by a task, does what it does in a task from the start."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextvars import Context, ContextVar
from types import coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agentbus.runtime import VirtualLoop, virtual_sleep
from agentbus.runtime.suspended import Suspended

mark: ContextVar[int] = ContextVar("mark", default=0)
STEPS = ("yield", "sleep", "mark", "catch", "raise", "timeout")


async def script(steps: list[str], log: list[Any]) -> int:
    """Do what the steps say, and note what is seen."""
    for number, step in enumerate(steps):
        log.append((step, mark.get()))
        match step:
            case "yield":
                await asyncio.sleep(0)
            case "sleep":
                await virtual_sleep(1.0)
            case "mark":
                mark.set(number + 1)
            case "catch":
                try:
                    await virtual_sleep(1.0)
                except asyncio.CancelledError:
                    log.append("caught")
            case "timeout":
                try:
                    async with asyncio.timeout(0.5):
                        await virtual_sleep(1.0)
                except TimeoutError:
                    log.append("too late")
            case _:
                raise ValueError(number)
    return len(steps)


async def begun_by_hand(steps: list[str], log: list[Any]) -> int:
    context = Context()
    begun = script(steps, log)
    try:
        awaited = context.run(begun.send, None)
    except StopIteration as end:
        return end.value
    return await Suspended(context, begun, awaited)


def outcome(run: Any, steps: list[str], cancel_at: float | None) -> tuple[Any, ...]:
    """Run a script in a task, cancel it at a time, and give all that can be seen of it."""
    log: list[Any] = []
    with VirtualLoop() as loop:
        task = loop.create_task(run(steps, log), context=Context())
        if cancel_at is not None:
            loop.call_later(cancel_at, task.cancel)
        loop.advance(100.0)
        failed = None if task.cancelled() else repr(task.exception())
        value = None if task.cancelled() or task.exception() else task.result()
        return log, task.cancelled(), failed, value, task.cancelling()


@given(st.lists(st.sampled_from(STEPS), max_size=6), st.none() | st.sampled_from([0.25, 0.75, 1.5, 2.25]))
def test_it_does_as_in_a_task_of_its_own(steps: list[str], cancel_at: float | None) -> None:
    assert outcome(begun_by_hand, steps, cancel_at) == outcome(script, steps, cancel_at)


@coroutine
def never() -> Generator[None, None, None]:
    yield


def test_it_is_closed_with_the_task_that_runs_it() -> None:
    log: list[str] = []

    async def forever() -> None:
        try:
            await never()
        finally:
            log.append("closed")

    context, endless = Context(), forever()
    running = Suspended(context, endless, endless.send(None)).__await__()
    next(running)
    assert log == []
    running.close()
    assert log == ["closed"]
