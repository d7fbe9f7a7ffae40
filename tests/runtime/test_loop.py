from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from itertools import pairwise

import pytest

from agentbus.errors import BlockingCallError, FutureCancelledError, RuntimeFault
from agentbus.runtime import Future, HostedLoop, LoopThread, SystemClock, VirtualLoop, virtual_sleep
from agentbus.runtime.wakeup import CALLS_PER_TURN
from tests.runtime import threads
from tests.runtime.threads import PATIENCE


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def thread(request: pytest.FixtureRequest) -> Iterator[LoopThread]:
    if request.param:
        pytest.importorskip("uvloop")
    loop = LoopThread("test-loop", uvloop=request.param)
    yield loop
    assert loop.close(PATIENCE)


@pytest.fixture
def virtual() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


@pytest.fixture
def hosted(virtual: VirtualLoop) -> HostedLoop:
    return HostedLoop(virtual)


def on(loop: LoopThread, seconds: float = PATIENCE) -> None:
    """Wait until the loop has run what it was given so far."""
    done: Future[None] = Future()
    loop.call_soon(done.set)
    done.get(seconds)


# -- calls -------------------------------------------------------------------------------------------------


def test_calls_run_in_order_on_the_loop_s_thread(thread: LoopThread) -> None:
    seen: list[tuple[int, int]] = []
    for number in range(1000):
        thread.call_soon(lambda number=number: seen.append((number, threading.get_ident())))
    on(thread)
    assert thread.thread is not None
    assert seen == [(number, thread.thread.ident) for number in range(1000)]


def test_no_call_of_any_thread_is_slept_over(thread: LoopThread) -> None:
    seen: dict[int, list[int]] = {name: [] for name in range(4)}
    step = threading.Barrier(4)

    def call(name: int) -> None:
        step.wait(PATIENCE)
        for number in range(2000):
            thread.call_soon(seen[name].append, number)
            if number % 50 == 0:
                on(thread)

    for caller in [threads.start(partial(call, name)) for name in seen]:
        caller.result()
    on(thread)
    assert all(numbers == list(range(2000)) for numbers in seen.values())


def test_a_burst_from_another_thread_wakes_the_loop_once(hosted: HostedLoop, virtual: VirtualLoop) -> None:
    seen: list[int] = []
    for number in range(100):
        hosted.call_soon(seen.append, number)
    virtual.run_until_idle()
    assert seen == list(range(100))
    assert hosted.statistics().wakeups == 1


def test_a_burst_from_the_loop_s_own_thread_costs_one_handle(
    hosted: HostedLoop, virtual: VirtualLoop
) -> None:
    seen: list[int] = []

    def burst() -> None:
        for number in range(100):
            hosted.call_soon(seen.append, number)
        assert seen == []

    virtual.call_soon(burst)
    virtual.run_until_idle()
    assert seen == list(range(100))
    assert hosted.statistics().wakeups == 1


def test_calls_that_breed_calls_leave_the_loop_its_turns(hosted: HostedLoop, virtual: VirtualLoop) -> None:
    turns_of_others: list[int] = []
    calls = 0

    def breed() -> None:
        nonlocal calls
        calls += 1
        if calls < 10 * CALLS_PER_TURN:
            hosted.call_soon(breed)

    def other() -> None:
        turns_of_others.append(calls)
        if calls < 10 * CALLS_PER_TURN:
            virtual.call_soon(other)

    hosted.call_soon(breed)
    virtual.call_soon(other)
    virtual.run_until_idle()
    steps = [later - earlier for earlier, later in pairwise(turns_of_others)]
    assert calls == 10 * CALLS_PER_TURN
    assert max(steps) <= CALLS_PER_TURN


def test_a_failing_call_is_reported_and_the_others_run(hosted: HostedLoop, virtual: VirtualLoop) -> None:
    seen: list[int] = []

    def fail(error: type[BaseException]) -> None:
        raise error

    hosted.call_soon(fail, ZeroDivisionError)
    hosted.call_soon(fail, SystemExit)
    hosted.call_soon(seen.append, 1)
    virtual.run_until_idle()
    assert seen == [1]
    assert [type(error) for error in virtual.exceptions] == [ZeroDivisionError, SystemExit]
    virtual.exceptions.clear()


def test_an_interrupt_ends_the_run_and_loses_no_call(hosted: HostedLoop, virtual: VirtualLoop) -> None:
    seen: list[int] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    hosted.call_soon(interrupt)
    hosted.call_soon(seen.append, 1)
    with pytest.raises(KeyboardInterrupt):
        virtual.run_until_idle()
    virtual.run_until_idle()
    assert seen == [1]


def test_callers_do_not_see_each_other_s_context(hosted: HostedLoop, virtual: VirtualLoop) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="nobody's")
    seen: list[str] = []
    variable.set("the first caller's")
    hosted.call_soon(lambda: seen.append(variable.get()))
    virtual.run_until_idle()
    assert seen == ["nobody's"]


def test_a_call_in_time(hosted: HostedLoop, virtual: VirtualLoop) -> None:
    seen: list[float] = []
    hosted.call_later(2.5, lambda: seen.append(hosted.clock.monotonic()))
    hosted.call_later(1.0, seen.append, 0.0).cancel()
    virtual.advance(10)
    assert seen == [2.5]


def test_a_loop_knows_whether_it_is_current(thread: LoopThread) -> None:
    async def ask() -> bool:
        return thread.is_current()

    assert not thread.is_current()
    assert thread.run(ask()).get(PATIENCE)
    assert not asyncio.run(ask())


# -- coroutines --------------------------------------------------------------------------------------------


def test_run_gives_the_result_to_threads_and_to_loops(thread: LoopThread) -> None:
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    async def main() -> int:
        return await thread.run(add(3, 4))

    assert thread.run(add(1, 2)).get(PATIENCE) == 3
    assert asyncio.run(main()) == 7


def test_run_gives_the_failure(thread: LoopThread) -> None:
    async def fail() -> None:
        raise KeyError("this one")

    with pytest.raises(KeyError, match="this one"):
        thread.run(fail()).get(PATIENCE)


def test_cancelling_the_future_cancels_the_coroutine(thread: LoopThread) -> None:
    ended: Future[str] = Future()
    began: Future[None] = Future()

    async def wait() -> None:
        began.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            ended.set("cancelled")
            raise

    future = thread.run(wait())
    began.get(PATIENCE)
    assert future.cancel()
    assert ended.get(PATIENCE) == "cancelled"
    with pytest.raises(FutureCancelledError):
        future.get(PATIENCE)


def test_a_coroutine_cancelled_before_it_began_never_begins(hosted: HostedLoop, virtual: VirtualLoop) -> None:
    async def never() -> None:
        raise AssertionError

    future = hosted.run(never())
    future.cancel()
    virtual.run_until_idle()
    assert hosted.statistics().tasks == 0


def test_a_coroutine_that_cancels_itself_cancels_the_future(hosted: HostedLoop, virtual: VirtualLoop) -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    future = hosted.run(give_up())
    virtual.run_until_idle()
    assert future.cancelled()


def test_the_loop_keeps_its_tasks_alive(hosted: HostedLoop, virtual: VirtualLoop) -> None:
    seen: list[str] = []

    async def work() -> None:
        await virtual_sleep(5)
        seen.append("done")

    virtual.call_soon(lambda: weakref.ref(hosted.create_task(work())))
    virtual.run_until_idle()
    gc.collect()
    assert hosted.statistics().tasks == 1
    virtual.advance(5)
    assert (seen, hosted.statistics().tasks) == (["done"], 0)


def test_a_task_that_fails_is_reported_at_once(hosted: HostedLoop, virtual: VirtualLoop) -> None:
    async def fail() -> None:
        raise KeyError("nobody awaits this")

    virtual.call_soon(lambda: hosted.create_task(fail(), name="the failing one"))
    virtual.run_until_idle()
    assert [str(error) for error in virtual.exceptions] == ["'nobody awaits this'"]
    virtual.exceptions.clear()


def test_a_stranger_s_exit_ends_nobody_else(thread: LoopThread, caplog: pytest.LogCaptureFixture) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def stay() -> str:
        return "still here"

    with pytest.raises(SystemExit):
        thread.run(leave()).get(PATIENCE)
    assert thread.run(stay()).get(PATIENCE) == "still here"
    assert "tried to end its thread" in caplog.text


# -- beginning and end -------------------------------------------------------------------------------------


def test_the_thread_starts_when_it_is_needed_and_is_a_daemon() -> None:
    loop = LoopThread("lazy")
    assert loop.thread is None
    on(loop)
    assert loop.thread is not None
    assert loop.thread.daemon
    assert loop.thread.name == "lazy"
    assert loop.close(PATIENCE)
    assert not loop.thread.is_alive()


def test_many_threads_start_it_once() -> None:
    loop = LoopThread("contended")
    step = threading.Barrier(8)

    def race() -> asyncio.AbstractEventLoop:
        step.wait(PATIENCE)
        return loop.asyncio_loop

    racers = [threads.start(race) for _ in range(8)]
    assert len({id(racer.result()) for racer in racers}) == 1
    assert loop.close(PATIENCE)


def test_a_closed_loop_says_so(thread: LoopThread) -> None:
    on(thread)
    assert thread.close(PATIENCE)
    assert thread.close(PATIENCE)
    with pytest.raises(RuntimeFault, match="'test-loop' is closed"):
        thread.call_soon(print)


def test_a_loop_closed_before_it_began_never_begins() -> None:
    loop = LoopThread("unborn")
    assert loop.close()
    with pytest.raises(RuntimeFault, match="closed"):
        loop.call_soon(print)
    assert loop.thread is None


def test_a_coroutine_for_a_closed_loop_is_closed() -> None:
    async def never() -> None:
        raise AssertionError

    loop = LoopThread("closed")
    loop.close()
    with pytest.raises(RuntimeFault):
        loop.run(never())
    gc.collect()  # "never awaited" would be an error of this test


def test_closing_cancels_what_runs_and_every_future_resolves(thread: LoopThread) -> None:
    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    futures = [thread.run(wait()) for _ in range(20)]
    assert thread.close(PATIENCE)
    assert all(future.cancelled() for future in futures)


def test_futures_resolve_also_when_the_loop_closes_while_others_call(thread: LoopThread) -> None:
    futures: list[Future[None]] = []

    async def nothing() -> None:
        await asyncio.sleep(0)

    def call_until_closed() -> None:
        try:
            while True:
                for _ in range(20):
                    futures.append(thread.run(nothing()))  # noqa: PERF401 -- the last one may not come
                futures[-1].get(PATIENCE)
        except RuntimeFault:  # closed, or cancelled
            return

    on(thread)
    callers = [threads.start(call_until_closed) for _ in range(2)]
    on(thread)
    assert thread.close(PATIENCE)
    for caller in callers:
        caller.result()
    assert [future for future in futures if not future.done()] == []
    for future in futures:
        future.quiet()


def test_closing_does_not_wait_for_a_task_that_will_not_end(thread: LoopThread) -> None:
    async def stubborn() -> None:
        setattr(asyncio.current_task(), "_log_destroy_pending", False)  # noqa: B010 -- asyncio's own switch
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                continue

    began = thread.run(asyncio.sleep(0))
    future = thread.run(stubborn())
    began.get(PATIENCE)
    assert thread.close(PATIENCE)
    with pytest.raises(RuntimeFault, match="closed"):
        future.get(0)


def test_closing_on_its_own_thread_does_not_deadlock(thread: LoopThread) -> None:
    async def close() -> bool:
        return thread.close()

    assert thread.run(close()).get(PATIENCE) is False
    assert thread.close(PATIENCE)


def test_a_hosted_loop_belongs_to_its_owner() -> None:
    async def main() -> list[int]:
        hosted = HostedLoop(asyncio.get_running_loop())
        seen: list[int] = []
        both: Future[None] = Future()
        hosted.call_soon(seen.append, 1)
        await asyncio.sleep(0)
        other = threads.start(lambda: hosted.call_soon(lambda: both.set(seen.append(2))))
        await both
        other.result()
        assert isinstance(hosted.clock, SystemClock)
        return seen

    assert asyncio.run(main()) == [1, 2]


def test_a_hosted_loop_whose_owner_closed_it_says_so() -> None:
    loop = asyncio.new_event_loop()
    hosted = HostedLoop(loop, name="theirs")
    loop.close()
    with pytest.raises(RuntimeFault, match="'theirs' is closed"):
        hosted.call_soon(print)


# -- waiting, and being late -------------------------------------------------------------------------------


def test_waiting_on_a_loop_of_the_runtime_fails_at_once(thread: LoopThread) -> None:
    async def wait() -> None:
        Future[None]().get()

    with pytest.raises(BlockingCallError, match=r"Future\.get\(\).*test-loop.*await"):
        thread.run(wait()).get(PATIENCE)


def test_a_loop_that_is_held_up_is_late(thread: LoopThread) -> None:
    clock = _SettableClock()
    late = LoopThread("late", clock=clock, uvloop=False)
    on(late)
    assert late.lag() == 0.0
    clock.now += 3.0
    assert late.lag() == pytest.approx(2.5)
    assert late.statistics().max_lag >= 2.4
    assert late.close(PATIENCE)


class _SettableClock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


# -- what a callback gathers -------------------------------------------------------------------------------


def turns(virtual: VirtualLoop, count: int) -> None:
    for _ in range(count):
        virtual.call_soon(virtual.stop)
        virtual.run_forever()


def test_what_a_callback_gathers_runs_in_its_turn(virtual: VirtualLoop, hosted: HostedLoop) -> None:
    seen: list[str] = []

    def received() -> None:
        hosted.call_soon(seen.append, "first")
        hosted.call_soon(hosted.call_soon, seen.append, "from a call")
        seen.append("received")

    virtual.call_soon(lambda: hosted.gather(received))
    turns(virtual, 1)
    assert seen == ["received", "first", "from a call"]


def test_a_callback_gathers_nothing_before_what_waits_already(
    virtual: VirtualLoop, hosted: HostedLoop
) -> None:
    seen: list[str] = []
    virtual.call_soon(lambda: hosted.call_soon(seen.append, "waits"))
    virtual.call_soon(lambda: hosted.gather(hosted.call_soon, seen.append, "gathered"))
    turns(virtual, 2)
    assert seen == ["waits", "gathered"]


def test_what_was_gathered_runs_though_the_callback_fails(virtual: VirtualLoop, hosted: HostedLoop) -> None:
    seen: list[str] = []

    def received() -> None:
        hosted.call_soon(seen.append, "gathered")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        virtual.run_until_complete(gathering(hosted, received))
    assert seen == ["gathered"]


async def gathering(hosted: HostedLoop, received: Callable[[], None]) -> None:
    hosted.gather(received)


def test_a_callback_gathers_no_more_than_a_turn_s_calls(virtual: VirtualLoop, hosted: HostedLoop) -> None:
    seen: list[int] = []

    def received() -> None:
        for number in range(CALLS_PER_TURN + 10):
            hosted.call_soon(seen.append, number)

    virtual.call_soon(lambda: hosted.gather(received))
    turns(virtual, 1)
    assert len(seen) == CALLS_PER_TURN
    turns(virtual, 1)
    assert seen == list(range(CALLS_PER_TURN + 10))


def test_what_a_callback_gathers_sees_none_of_its_context(virtual: VirtualLoop, hosted: HostedLoop) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="nothing")
    seen: list[str] = []

    def received() -> None:
        variable.set("a secret")
        hosted.call_soon(lambda: seen.append(variable.get()))

    virtual.call_soon(lambda: hosted.gather(received))
    turns(virtual, 1)
    assert seen == ["nothing"]
