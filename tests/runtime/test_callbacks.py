from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest

from agentbus.errors import BlockingCallError
from agentbus.runtime import (
    Callbacks,
    EventSource,
    Future,
    HostedLoop,
    LoopThread,
    VirtualLoop,
    virtual_sleep,
)
from agentbus.runtime.callbacks import is_async
from agentbus.runtime.pool import ThreadPool
from tests.runtime import threads
from tests.runtime.threads import PATIENCE


@pytest.fixture
def agents() -> Iterator[LoopThread]:
    loop = LoopThread("test-agents")
    yield loop
    assert loop.close(PATIENCE)


@pytest.fixture
def callbacks(agents: LoopThread) -> Iterator[Callbacks]:
    callbacks = Callbacks(agents, threads=2)
    yield callbacks
    callbacks.close()


def drain(callbacks: Callbacks) -> None:
    for future in callbacks.drain():
        future.get(PATIENCE)


# -- sync --------------------------------------------------------------------------------------------------


def test_a_sync_callback_gets_all_events_in_order_on_daemon_threads(callbacks: Callbacks) -> None:
    seen: list[int] = []
    daemons: set[bool] = set()

    def note(event: int) -> None:
        seen.append(event)
        daemons.add(threading.current_thread().daemon)

    lane = callbacks.lane(note)
    for number in range(1000):
        lane.post(number)
    drain(callbacks)
    assert seen == list(range(1000))
    assert daemons == {True}


def test_one_event_at_a_time_per_listener(callbacks: Callbacks) -> None:
    inside = 0
    most = 0

    def note(_event: int) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        inside -= 1

    lane = callbacks.lane(note)
    posters = [threads.start(lambda: [lane.post(number) for number in range(300)]) for _ in range(3)]
    for poster in posters:
        poster.result()
    drain(callbacks)
    assert most == 1


def test_a_slow_listener_delays_nobody_and_its_lane_is_bounded(callbacks: Callbacks) -> None:
    release = threading.Event()
    began = threading.Event()
    slow_seen: list[int] = []
    quick_seen: list[int] = []

    def slow(event: int) -> None:
        began.set()
        assert release.wait(PATIENCE)
        slow_seen.append(event)

    lane = callbacks.lane(slow, capacity=3, lost_event=lambda count: -count)
    quick = callbacks.lane(quick_seen.append)
    lane.post(0)
    assert began.wait(PATIENCE)
    for number in range(1, 11):
        lane.post(number)
        quick.post(number)
    quick.drain().get(PATIENCE)
    assert quick_seen == list(range(1, 11))
    assert (lane.lost, len(lane), callbacks.statistics().lost, callbacks.statistics().waiting) == (7, 3, 7, 3)
    release.set()
    drain(callbacks)
    assert slow_seen == [0, -7, 8, 9, 10]


def test_a_callback_that_raises_is_logged_counted_and_called_again(
    callbacks: Callbacks, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    def fail_first(event: int) -> None:
        seen.append(event)
        if event == 0:
            raise SystemExit

    lane = callbacks.lane(fail_first)
    for number in range(3):
        lane.post(number)
    drain(callbacks)
    assert (seen, callbacks.statistics().failures) == ([0, 1, 2], 1)
    assert "a callback failed: test_a_callback_that_raises" in caplog.text


def test_callbacks_that_wait_for_each_other_do_not_starve(callbacks: Callbacks) -> None:
    links: list[Future[int]] = [Future() for _ in range(9)]

    def wait_for_next(number: int) -> None:
        links[number].set(links[number + 1].get(PATIENCE) + 1)

    for number in range(8):
        callbacks.lane(wait_for_next).post(number)
    callbacks.lane(links[8].set).post(0)
    assert links[0].get(PATIENCE) == 8


def test_a_coroutine_in_disguise_is_awaited_on_the_agents_loop(
    callbacks: Callbacks, agents: LoopThread
) -> None:
    seen: list[tuple[int, bool]] = []

    async def note(event: int) -> None:
        await asyncio.sleep(0)
        seen.append((event, agents.is_current()))

    lane = callbacks.lane(functools.partial(_disguised, note))
    for number in range(3):
        lane.post(number)
    drain(callbacks)
    assert seen == [(0, True), (1, True), (2, True)]


def _disguised(note: Callable[[int], Awaitable[None]], event: int) -> Awaitable[None]:
    return note(event)


def test_a_closed_lane_calls_no_more(callbacks: Callbacks) -> None:
    seen: list[int] = []
    lane = callbacks.lane(seen.append)
    lane.close()
    lane.post(1)
    drain(callbacks)
    assert (seen, lane.lost, len(lane)) == ([], 0, 0)


def test_lanes_that_are_forgotten_are_not_counted(callbacks: Callbacks) -> None:
    callbacks.lane(print)
    kept = callbacks.lane(print)
    assert callbacks.statistics().lanes == 1
    kept.close()


# -- async -------------------------------------------------------------------------------------------------


def test_an_async_callback_runs_on_the_agents_loop_one_event_at_a_time(
    callbacks: Callbacks, agents: LoopThread
) -> None:
    seen: list[str] = []

    async def note(event: int) -> None:
        seen.append(f"{event} begins {agents.is_current()}")
        await asyncio.sleep(0)
        seen.append(f"{event} ends")

    lane = callbacks.lane(note)
    for number in range(50):
        lane.post(number)
    drain(callbacks)
    assert seen == [text for number in range(50) for text in (f"{number} begins True", f"{number} ends")]


def test_an_async_callback_can_run_on_a_loop_of_the_user_s(callbacks: Callbacks) -> None:
    async def main() -> bool:
        done: Future[bool] = Future()
        here = asyncio.get_running_loop()

        async def note(_event: int) -> None:
            done.set(asyncio.get_running_loop() is here)

        lane = callbacks.lane(note, loop=here)
        threads.start(lambda: lane.post(1)).result()
        return await done

    assert asyncio.run(main())


def test_a_lane_whose_loop_is_gone_closes(callbacks: Callbacks) -> None:
    async def note(_event: int) -> None:
        raise AssertionError

    loop = asyncio.new_event_loop()
    lane = callbacks.lane(note, loop=loop)
    loop.close()
    lane.post(1)
    lane.post(2)
    lane.drain().get(PATIENCE)
    assert len(lane) == 0


def test_a_lane_whose_loop_closed_with_events_in_it_has_nothing_to_wait_for(callbacks: Callbacks) -> None:
    async def note(_event: int) -> None:
        raise AssertionError

    loop = asyncio.new_event_loop()
    lane = callbacks.lane(note, loop=loop)
    lane.post(1)
    loop.close()
    drain(callbacks)
    assert len(lane) == 0


@pytest.mark.parametrize("error", [KeyError, SystemExit, asyncio.CancelledError])
def test_an_async_callback_that_raises_is_logged_counted_and_called_again(
    callbacks: Callbacks, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[int] = []

    async def fail_first(event: int) -> None:
        seen.append(event)
        if event == 0:
            raise error

    lane = callbacks.lane(fail_first)
    for number in range(3):
        lane.post(number)
    drain(callbacks)
    assert (seen, callbacks.statistics().failures) == ([0, 1, 2], 1)
    assert "a callback failed" in caplog.text


def test_a_lane_outlives_the_cancelling_of_everything_on_its_loop() -> None:
    seen: list[int] = []

    async def note(event: int) -> None:
        await virtual_sleep(1)
        seen.append(event)

    with VirtualLoop() as loop:
        callbacks = Callbacks(HostedLoop(loop), inline=True)
        lane = callbacks.lane(note)
        lane.post(1)
        loop.run_until_idle()
        loop.cancel_all()
        lane.post(2)
        loop.advance(5)
    assert seen == [2]


@pytest.mark.parametrize("turns", [1, 100])
def test_a_lane_with_much_to_do_leaves_the_loop_its_turns(turns: int) -> None:
    seen: list[int] = []
    others: list[int] = []
    with VirtualLoop() as loop:
        callbacks = Callbacks(HostedLoop(loop), inline=True)
        lane = callbacks.lane(seen.append)
        for number in range(turns):
            lane.post(number)

        def other() -> None:
            others.append(len(seen))
            if len(seen) < turns:
                loop.call_soon(other)

        loop.call_soon(other)
        loop.run_until_idle()
    assert seen == list(range(turns))
    assert len(set(others)) >= turns // 16


# -- simulation --------------------------------------------------------------------------------------------


def test_inline_callbacks_run_on_the_loop_in_order() -> None:
    seen: list[str] = []

    async def slowly(event: int) -> None:
        await virtual_sleep(1)
        seen.append(f"async {event}")

    with VirtualLoop() as loop:
        source: EventSource[int] = EventSource(Callbacks(HostedLoop(loop), inline=True))
        source.subscribe(slowly)
        subscription = source.subscribe(lambda event: seen.append(f"sync {event}"))
        source.emit(1)
        source.emit(2)
        assert seen == []
        loop.run_until_idle()
        subscription.cancel()
        source.emit(3)
        loop.advance(3)
    assert seen == ["sync 1", "sync 2", "async 1", "async 2", "async 3"]


def test_an_inline_callback_that_would_block_fails(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[str] = []

    def block(_event: int) -> None:
        try:
            Future[None]().get()
        except BlockingCallError as error:
            errors.append(str(error))

    with VirtualLoop() as loop:
        Callbacks(HostedLoop(loop), inline=True).lane(block).post(1)
        loop.run_until_idle()
    assert len(errors) == 1


# -- sources with lanes ------------------------------------------------------------------------------------


def test_a_subscription_ends_its_lane(callbacks: Callbacks) -> None:
    source: EventSource[int] = EventSource(callbacks)
    seen: list[int] = []
    subscription = source.subscribe(seen.append)
    source.emit(1)
    drain(callbacks)
    subscription.cancel()
    source.emit(2)
    drain(callbacks)
    assert seen == [1]
    assert callbacks.statistics().lanes == 0


class Listener:
    async def __call__(self, _event: int) -> None:
        return

    async def method(self, _event: int) -> None:
        return

    def sync(self, _event: int) -> None:
        return


def test_async_callbacks_are_recognized() -> None:
    listener = Listener()
    assert all(map(is_async, [listener, listener.method, functools.partial(listener.method, 1)]))
    assert not any(map(is_async, [listener.sync, print, Listener, lambda _event: None]))


# -- the pool ----------------------------------------------------------------------------------------------


def test_a_pool_runs_so_many_at_a_time_and_no_more() -> None:
    pool = ThreadPool(2, "test-pool")
    release = threading.Event()
    began = threading.Semaphore(0)
    ended: list[Future[None]] = [Future() for _ in range(6)]

    def work(number: int) -> None:
        began.release()
        assert release.wait(PATIENCE)
        ended[number].set()

    for number in range(6):
        pool.submit(functools.partial(work, number))
    assert began.acquire(timeout=PATIENCE)
    assert began.acquire(timeout=PATIENCE)
    assert not began.acquire(blocking=False)
    assert pool.alive == 2
    release.set()
    for future in ended:
        future.get(PATIENCE)
    assert pool.alive == 2
    pool.close()


def test_a_pool_survives_what_its_work_raises(caplog: pytest.LogCaptureFixture) -> None:
    pool = ThreadPool(1, "test-pool")
    done: Future[None] = Future()

    def fail() -> None:
        raise SystemExit

    pool.submit(fail)
    pool.submit(done.set)
    done.get(PATIENCE)
    assert "work failed" in caplog.text
    pool.close()
    pool.submit(fail)


def test_a_pool_needs_a_thread() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ThreadPool(0, "none")
