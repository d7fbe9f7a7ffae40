from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from random import Random

import pytest

from agentbus.errors import BlockingCallError
from agentbus.runtime import (
    Future,
    HostedLoop,
    LoopThread,
    Runtime,
    SystemClock,
    VirtualLoop,
    default_runtime,
    run_virtual,
    virtual_sleep,
)
from tests.runtime import threads
from tests.runtime.threads import PATIENCE


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime()
    yield runtime
    runtime.close(PATIENCE)


async def here() -> str:
    return threading.current_thread().name


def test_sockets_and_agents_have_a_thread_each(runtime: Runtime) -> None:
    assert runtime.io.run(here()).get(PATIENCE) == "agentbus-io"
    assert runtime.agents.run(here()).get(PATIENCE) == "agentbus-agents"
    assert isinstance(runtime.clock, SystemClock)


def test_a_runtime_that_is_not_used_starts_no_thread(runtime: Runtime) -> None:
    assert isinstance(runtime.io, LoopThread)
    assert isinstance(runtime.agents, LoopThread)
    assert (runtime.io.thread, runtime.agents.thread) == (None, None)


def test_everything_on_one_loop_of_the_caller_s() -> None:
    async def main() -> None:
        runtime = Runtime(loop=asyncio.get_running_loop())
        assert runtime.io is runtime.agents
        assert runtime.io.is_current()
        assert await runtime.io.run(here()) == threading.current_thread().name
        assert await runtime.aclose(PATIENCE)

    asyncio.run(main())


def test_a_hosted_runtime_on_virtual_time() -> None:
    with VirtualLoop() as loop:
        runtime = Runtime(loop=HostedLoop(loop, name="world"), random=Random(1), inline_callbacks=True)
        assert runtime.clock is loop.clock
        assert runtime.agents.name == "world"
        future = runtime.agents.run(virtual_sleep(3600))
        loop.advance(3600)
        assert future.done()


def test_injected_chance_makes_the_same_ids_every_time() -> None:
    def ids(runtime: Runtime) -> list[str]:
        return [runtime.new_id() for _ in range(3)]

    assert ids(Runtime(random=Random(7))) == ids(Runtime(random=Random(7)))
    assert ids(Runtime(random=Random(7))) != ids(Runtime(random=Random(8)))
    assert len(set(ids(Runtime()) + ids(Runtime()))) == 6


def test_an_injected_id_maker_comes_first() -> None:
    numbers = iter(range(100))
    runtime = Runtime(random=Random(1), new_id=lambda: f"id-{next(numbers)}")
    assert runtime.new_id().startswith("id-")


def test_a_runtime_watches_its_agents_loop_if_it_is_told_to() -> None:
    runtime = Runtime(block_threshold=0.02)
    release = threading.Event()
    blocked: Future[None] = Future()

    def hold_up() -> None:
        while runtime.agents.statistics().blocked == 0 and not release.is_set():
            release.wait(0.005)
        blocked.set()

    runtime.agents.call_soon(lambda: runtime.agents.call_later(0.05, hold_up))
    blocked.get(PATIENCE)
    assert runtime.agents.statistics().blocked == 1
    assert runtime.close(PATIENCE)


# -- the end -----------------------------------------------------------------------------------------------


def test_closing_asks_the_youngest_first_and_waits_for_them(runtime: Runtime) -> None:
    seen: list[str] = []

    async def say(name: str) -> None:
        await asyncio.sleep(0)
        seen.append(name)

    for name in "abc":
        runtime.on_close(lambda name=name: (seen.append(f"asked {name}"), runtime.io.run(say(name)))[1])
    runtime.on_close(lambda: seen.append("cancelled")).cancel()
    assert runtime.close(PATIENCE)
    assert seen == ["asked c", "asked b", "asked a", "c", "b", "a"]
    assert runtime.closed
    assert runtime.close(PATIENCE)
    assert len(seen) == 6


def test_closing_handles_what_waits_for_callbacks(runtime: Runtime) -> None:
    seen: list[int] = []
    lane = runtime.callbacks.lane(seen.append)
    for number in range(500):
        lane.post(number)
    assert runtime.close(PATIENCE)
    assert seen == list(range(500))


def test_a_closer_that_fails_stops_nobody(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []
    runtime.on_close(lambda: seen.append("called"))
    runtime.on_close(lambda: Future.failed(KeyError("ended badly")))
    runtime.on_close(lambda: Future.failed(KeyError("has failed already")).get())
    assert runtime.close(PATIENCE)
    assert seen == ["called"]
    assert "could not be ended" in caplog.text


def test_closing_gives_up_in_time(runtime: Runtime) -> None:
    runtime.on_close(Future[None])
    runtime.agents.run(here()).get(PATIENCE)
    assert runtime.close(0.01) is False


def test_closing_on_a_loop_of_its_own_fails_at_once(runtime: Runtime) -> None:
    async def close() -> None:
        runtime.close()

    with pytest.raises(BlockingCallError, match=r"Runtime\.close"):
        runtime.agents.run(close()).get(PATIENCE)


def test_closing_from_a_coroutine() -> None:
    async def main() -> None:
        runtime = Runtime()
        ended: list[str] = []

        async def end() -> None:
            ended.append(await here())

        runtime.on_close(lambda: runtime.io.run(end()))
        assert await runtime.aclose(PATIENCE)
        assert ended == ["agentbus-io"]
        assert isinstance(runtime.io, LoopThread)
        assert runtime.io.thread is not None
        assert not runtime.io.thread.is_alive()

    asyncio.run(main())


def test_closing_from_a_coroutine_gives_up_in_virtual_time() -> None:
    async def main() -> tuple[bool, float]:
        runtime = Runtime(loop=asyncio.get_running_loop())
        runtime.on_close(Future[None])
        return await runtime.aclose(30), runtime.clock.monotonic()

    assert run_virtual(main()) == (False, 30.0)


def test_closing_from_a_coroutine_on_its_own_loop_does_not_deadlock(runtime: Runtime) -> None:
    future = runtime.agents.run(runtime.aclose(PATIENCE))
    assert future.get(PATIENCE) in {True, False}
    assert runtime.close(PATIENCE)


def test_a_hosted_loop_that_does_not_run_can_not_end_anything() -> None:
    with VirtualLoop() as loop:
        runtime = Runtime(loop=loop)
        runtime.on_close(Future[None])
        begun = time.monotonic()
        assert runtime.close(PATIENCE) is False
        assert time.monotonic() - begun < PATIENCE / 2


# -- one per process ---------------------------------------------------------------------------------------


def test_there_is_one_default_runtime_until_it_is_closed() -> None:
    step = threading.Barrier(4)

    def race() -> Runtime:
        step.wait(PATIENCE)
        return default_runtime()

    racers = [threads.start(race) for _ in range(4)]
    runtimes = {id(racer.result()) for racer in racers}
    assert runtimes == {id(default_runtime())}
    closed = default_runtime()
    assert closed.close(PATIENCE)
    assert default_runtime() is not closed


def exit_of(program: str) -> subprocess.CompletedProcess[str]:
    prelude = """
    import asyncio, threading
    import agentbus.runtime.runtime as module
    from agentbus.runtime import *
    module.EXIT_TIMEOUT = 0.3
    runtime = default_runtime()
    async def nothing():
        pass
    runtime.io.run(nothing()).get(5)
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


def test_the_exit_drains() -> None:
    done = exit_of("""
    async def goodbye():
        await asyncio.sleep(0.05)
        print("goodbye")
    runtime.on_close(lambda: runtime.io.run(goodbye()))
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "goodbye\n", "")


@pytest.mark.parametrize(
    "stuck",
    [
        "runtime.io.call_soon(threading.Event().wait)",
        "runtime.agents.call_soon(threading.Event().wait)",
        "runtime.callbacks.lane(lambda _: threading.Event().wait()).post(1)",
        "runtime.on_close(Future)",
        "pending = runtime.io.run(asyncio.sleep(1e6))",
        "threading.Thread(target=Future().get, daemon=True).start()",
        "threading.Thread(target=lambda: list(EventStream()), daemon=True).start()",
        "f = Future(); f.set_get_hook(lambda _: threading.Event().wait()); f.add_done_callback(print)",
    ],
)
def test_nothing_holds_up_the_exit(stuck: str) -> None:
    begun = time.monotonic()
    done = exit_of(stuck)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < PATIENCE


def test_an_exit_by_exception_keeps_its_status() -> None:
    done = exit_of("raise SystemExit(7)")
    assert (done.returncode, done.stderr) == (7, "")
