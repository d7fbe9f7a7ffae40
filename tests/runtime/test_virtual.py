from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.errors import RuntimeFault
from agentbus.runtime import DeadlockError, VirtualClock, VirtualLoop, run_virtual, virtual_sleep
from tests.runtime import threads


def test_time_jumps_to_the_next_timer() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        await virtual_sleep(86_400 * 365)
        middle = loop.time()
        await virtual_sleep(0.25)
        return middle, loop.time()

    assert run_virtual(main()) == (31_536_000.0, 31_536_000.25)


@given(st.lists(st.integers(0, 5).map(float), max_size=30))
def test_timers_run_in_order_of_time_then_of_their_making(delays: list[float]) -> None:
    seen: list[tuple[float, int]] = []
    with VirtualLoop() as loop:
        for number, delay in enumerate(delays):
            loop.call_later(delay, lambda number=number: seen.append((loop.time(), number)))
        loop.advance(10)
    assert seen == sorted((delay, number) for number, delay in enumerate(delays))


@given(st.floats(0, 1e7), st.floats(0, 1e7))
def test_a_timer_runs_at_exactly_its_time(start: float, delay: float) -> None:
    clock = VirtualClock()
    clock.advance(start)
    seen: list[float] = []
    with VirtualLoop(clock) as loop:
        timer = loop.call_later(delay, lambda: seen.append(loop.time()))
        loop.advance(2e7)
    assert seen == [timer.when()]


def test_a_cancelled_timer_does_not_run() -> None:
    seen: list[int] = []
    with VirtualLoop() as loop:
        loop.call_later(1, seen.append, 1).cancel()
        loop.call_later(2, seen.append, 2)
        loop.advance(3)
    assert seen == [2]


def test_advance_runs_what_is_due_and_stops_exactly_there() -> None:
    seen: list[float] = []
    with VirtualLoop() as loop:
        for delay in (0.0, 1.0, 2.0, 2.5):
            loop.call_later(delay, seen.append, delay)
        loop.advance(2.0)
        assert (seen, loop.time()) == ([0.0, 1.0, 2.0], 2.0)
        loop.advance(0.5)
        assert (seen, loop.time()) == ([0.0, 1.0, 2.0, 2.5], 2.5)


def test_run_until_idle_takes_no_time() -> None:
    seen: list[str] = []
    with VirtualLoop() as loop:
        loop.call_soon(lambda: loop.call_soon(seen.append, "second"))
        loop.call_later(0.001, seen.append, "later")
        loop.run_until_idle()
        assert (seen, loop.time()) == (["second"], 0.0)


def test_a_wait_that_nothing_can_end_is_an_error_that_says_who_waits() -> None:
    async def waits_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    with VirtualLoop() as loop:
        task = loop.create_task(waits_for_ever(), name="the waiter")
        with pytest.raises(DeadlockError, match=r"the waiter.*waits_for_ever"):
            loop.run_until_complete(task)


def test_running_for_ever_with_nothing_to_do_is_a_deadlock_too() -> None:
    with VirtualLoop() as loop, pytest.raises(DeadlockError, match="no task"):
        loop.run_forever()


def test_a_run_that_never_yields_to_time_keeps_the_time() -> None:
    async def main() -> float:
        for _ in range(100):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 0.0


def test_time_outs_are_virtual() -> None:
    async def main() -> float:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.get_running_loop().create_future()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 3600.0


def test_failures_on_the_loop_are_kept_and_raised(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise KeyError("lost")

    loop = VirtualLoop()
    loop.call_soon(fail)
    loop.run_until_idle()
    assert [type(error) for error in loop.exceptions] == [KeyError]
    with pytest.raises(ExceptionGroup) as caught, loop:
        pass
    assert isinstance(caught.value.exceptions[0], KeyError)
    assert loop.exceptions == []
    assert "Exception in callback" in caplog.text


def test_a_failure_of_the_block_itself_comes_first(caplog: pytest.LogCaptureFixture) -> None:
    def fail_twice() -> None:
        with VirtualLoop() as loop:
            loop.call_exception_handler({"message": "something without an exception"})
            assert isinstance(loop.exceptions[0], RuntimeFault)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_twice()
    assert "something without an exception" in caplog.text


def test_work_for_an_executor_runs_inline() -> None:
    async def main() -> tuple[int, bool]:
        thread = await asyncio.to_thread(threading.get_ident)
        with pytest.raises(ZeroDivisionError):
            await asyncio.get_running_loop().run_in_executor(None, lambda: 1 // 0)
        return thread, asyncio.get_running_loop().time() == 0.0

    assert run_virtual(main()) == (threading.get_ident(), True)


def test_there_is_no_network() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError, match="no network"):
            await loop.create_connection(asyncio.Protocol, "localhost", 80)
        with pytest.raises(OSError, match="no network"):
            await loop.getnameinfo(("127.0.0.1", 80))

    run_virtual(main())


def test_another_thread_can_wake_it() -> None:
    with VirtualLoop(thread_wait=threads.PATIENCE) as loop:
        future: asyncio.Future[str] = loop.create_future()
        others = threads.start(lambda: loop.call_soon_threadsafe(future.set_result, "from afar"))
        assert loop.run_until_complete(future) == "from afar"
        others.result()


def test_calls_from_its_own_thread_need_no_patience() -> None:
    seen: list[int] = []
    with VirtualLoop() as loop:
        loop.call_soon_threadsafe(seen.append, 1)
        loop.run_until_idle()
    assert seen == [1]


def test_what_is_left_at_the_end_is_cancelled_the_youngest_first() -> None:
    seen: list[str] = []

    async def worker(name: str) -> None:
        try:
            await virtual_sleep(10)
        finally:
            seen.append(name)

    async def main() -> None:
        names = [asyncio.create_task(worker(name)).get_name() for name in "abc"]
        await asyncio.sleep(0)
        assert names == ["task-2", "task-3", "task-4"]

    run_virtual(main())
    assert seen == ["c", "b", "a"]


def test_async_generators_are_finalized() -> None:
    seen: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            seen.append("closed")

    generator = numbers()

    async def main() -> None:
        await anext(generator)

    run_virtual(main())
    assert seen == ["closed"]


def test_virtual_sleep_refuses_real_time() -> None:
    with pytest.raises(RuntimeFault, match="VirtualLoop"):
        asyncio.run(virtual_sleep(1000))


def test_closing_twice_is_fine() -> None:
    with VirtualLoop() as loop:
        loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_later(1, print)


TRACE = """
import asyncio, random
from agentbus.runtime import VirtualLoop, run_virtual, virtual_sleep
chance = random.Random(7)
async def worker(name):
    for _ in range(5):
        await virtual_sleep(chance.choice((0.0, 0.5, 1.0)))
        print(name, asyncio.get_running_loop().time(), asyncio.current_task().get_name())
async def main():
    await asyncio.gather(*(worker(f"w{n}") for n in range(6)))
run_virtual(main())
"""


def test_one_seed_gives_one_trace_whatever_the_hash_seed() -> None:
    traces = {
        subprocess.run(
            [sys.executable, "-c", TRACE],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(traces) == 1
    assert traces.pop().count("\n") == 30
