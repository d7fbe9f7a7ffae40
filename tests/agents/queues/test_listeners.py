"""Who waits for jobs to be over, and who reads the streams: told once, and bounded."""

from __future__ import annotations

import asyncio

import pytest

from agentbus.agents.queues.core.job import JobEnd
from agentbus.agents.queues.listeners import EndWaiters, Readers
from agentbus.errors import QueueFullError, ResultsLostError
from agentbus.runtime import run_virtual, virtual_sleep


def test_all_who_wait_for_an_end_are_told_and_nothing_of_them_is_left() -> None:
    async def scenario() -> None:
        waiters = EndWaiters("tasks")
        waiting = [asyncio.ensure_future(waiters.wait(name)) for name in ("a", "a", "b")]
        await virtual_sleep(1)
        assert len(waiters) == 3
        waiters.ended(JobEnd("a", "done"))
        waiting[2].cancel()
        await virtual_sleep(1)
        assert [each.result().job_id for each in waiting[:2]] == ["a", "a"]
        assert (len(waiters), "a" in waiters, "b" in waiters) == (0, False, False)

    run_virtual(scenario())


def test_no_more_calls_wait_than_may() -> None:
    async def scenario() -> None:
        waiters = EndWaiters("tasks", cap=1)
        waiting = asyncio.ensure_future(waiters.wait("a"))
        await virtual_sleep(1)
        with pytest.raises(QueueFullError, match="calls that wait"):
            await waiters.wait("b")
        waiters.ended(JobEnd("a", "done"))
        assert (await waiting).state == "done"

    run_virtual(scenario())


def test_readers_get_what_is_told_while_they_read_and_are_bounded() -> None:
    async def scenario() -> None:
        readers: Readers[int] = Readers("tasks", cap=1)
        readers.tell([1])
        stream = readers.read()
        first = asyncio.ensure_future(anext(stream))
        await virtual_sleep(1)
        readers.tell([2, 3])
        assert (await first, await anext(stream)) == (2, 3)
        with pytest.raises(QueueFullError, match="readers"):
            await anext(readers.read())
        await stream.aclose()
        assert len(readers) == 0

    run_virtual(scenario())


def test_a_reader_that_is_too_far_behind_gets_what_waits_and_then_an_error() -> None:
    async def scenario() -> None:
        readers: Readers[int] = Readers("tasks", behind=2)
        stream = readers.read()
        first = asyncio.ensure_future(anext(stream))
        await virtual_sleep(1)
        readers.tell([1, 2, 3])
        readers.tell([4])
        assert [await first, await anext(stream), await anext(stream)] == [1, 2, 3]
        with pytest.raises(ResultsLostError):
            await anext(stream)
        assert len(readers) == 0

    run_virtual(scenario())
