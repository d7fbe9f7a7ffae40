from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import queue
import sys
import threading
import weakref
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pykka
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.errors import (
    AgentBusError,
    AgentStopped,
    BusClosedError,
    ClientDisposedError,
    FutureCancelledError,
    FutureTimeoutError,
)
from agentbus.runtime import Future, FutureStateError, LoopThread, VirtualLoop, run_virtual
from tests.runtime import threads
from tests.runtime.threads import PATIENCE

MakeFuture = Callable[[], pykka.Future[Any]]


@pytest.fixture(params=[pykka.ThreadingFuture, Future], ids=["pykka", "ours"])
def make(request: pytest.FixtureRequest) -> MakeFuture:
    return request.param


@pytest.fixture
def loop_thread() -> Iterator[LoopThread]:
    loop = LoopThread("test-futures")
    yield loop
    assert loop.close(PATIENCE)


# -- what users of pykka expect ----------------------------------------------------------------------------


def test_a_value_can_be_got_many_times(make: MakeFuture) -> None:
    future = make()
    future.set("value")
    assert [future.get(), future.get(timeout=0), future.get(timeout=None)] == ["value"] * 3


def test_nothing_is_a_value(make: MakeFuture) -> None:
    future = make()
    future.set()
    assert future.get() is None


@pytest.mark.parametrize("timeout", [0, 0.001, -1])
def test_time_runs_out(make: MakeFuture, timeout: float) -> None:
    with pytest.raises(pykka.Timeout):
        make().get(timeout=timeout)


def test_a_value_from_another_thread(make: MakeFuture) -> None:
    future = make()
    setter = threads.start(partial(future.set, 7))
    assert future.get(timeout=PATIENCE) == 7
    setter.result()


def test_setting_twice_is_refused(make: MakeFuture) -> None:
    future = make()
    future.set(1)
    with pytest.raises(queue.Full):
        future.set(2)
    with pytest.raises(queue.Full):
        future.set_exception((ValueError, ValueError(), None))
    with pytest.raises(queue.Full):
        future.set_get_hook(lambda _timeout: 3)
    assert future.get() == 1


def test_an_exception_is_raised_with_the_traceback_of_its_origin(make: MakeFuture) -> None:
    def origin() -> None:
        raise KeyError("from afar")

    future = make()
    try:
        origin()
    except KeyError:
        future.set_exception()
    stacks = [[entry.name for entry in _failure_of(future).traceback] for _ in range(3)]
    assert stacks[0][-1] == "origin"
    assert stacks[0] == stacks[1] == stacks[2]


def _failure_of(future: pykka.Future[Any]) -> pytest.ExceptionInfo[KeyError]:
    with pytest.raises(KeyError, match="from afar") as caught:
        future.get()
    return caught


def test_an_exception_class_alone_will_do(make: MakeFuture) -> None:
    future = make()
    future.set_exception((ZeroDivisionError, None, None))
    with pytest.raises(ZeroDivisionError):
        future.get()


def test_a_get_hook_is_called_until_it_gives_a_value(make: MakeFuture) -> None:
    given: list[float | None] = []

    def hook(timeout: float | None) -> str:
        given.append(timeout)
        if len(given) == 1:
            raise pykka.Timeout
        return "computed"

    future = make()
    future.set_get_hook(hook)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=1.5)
    assert [future.get(), future.get()] == ["computed", "computed"]
    assert given == [1.5, None]
    with pytest.raises(queue.Full):
        future.set(1)


def test_map_computes_when_asked_and_once(make: MakeFuture) -> None:
    seen: list[int] = []

    def double(value: int) -> int:
        seen.append(value)
        return value * 2

    future = make()
    view = future.map(double)
    future.set(21)
    assert seen == []
    assert [view.get(), view.get()] == [42, 42]
    assert seen == [21]


def test_filter_join_and_reduce(make: MakeFuture) -> None:
    first, second, third = make(), make(), make()
    joined = first.join(second, third)
    first.set([1, 2, 3, 4])
    second.set("two")
    third.set(False)
    assert list(first.filter(lambda item: item > 2).get()) == [3, 4]
    assert joined.get() == [[1, 2, 3, 4], "two", False]
    assert first.reduce(lambda so_far, item: so_far + item).get() == 10
    assert first.reduce(lambda so_far, item: so_far + item, 100).get() == 110
    assert first.map(lambda items: items[0]).map(str).get() == "1"


def test_views_pass_on_time_outs_and_failures(make: MakeFuture) -> None:
    future = make()
    views: list[pykka.Future[Any]] = [
        future.map(str),
        future.filter(bool),
        future.join(make()),
        future.reduce(max),
    ]
    for view in views:
        with pytest.raises(pykka.Timeout):
            view.get(timeout=0)
    future.set_exception((KeyError, KeyError("gone"), None))
    for view in views:
        with pytest.raises(KeyError, match="gone"):
            view.get()


def test_a_function_that_fails_fails_the_view_only(make: MakeFuture) -> None:
    future = make()
    future.set(0)
    with pytest.raises(ZeroDivisionError):
        future.map(lambda value: 1 // value).get()
    assert future.get() == 0


def test_get_all(make: MakeFuture) -> None:
    futures = [make() for _ in range(3)]
    for number, future in enumerate(futures):
        future.set(number)
    assert list(pykka.get_all(futures, timeout=0)) == [0, 1, 2]


def test_await_gives_what_is_there(make: MakeFuture) -> None:
    future = make()
    future.set("value")

    async def main() -> str:
        return await future

    assert asyncio.run(main()) == "value"


def test_await_without_asyncio() -> None:
    future: Future[str] = Future()

    def generator() -> Generator[Any, None, str]:
        return (yield from future)

    running = generator()
    next(running)
    future.set("value")
    with pytest.raises(StopIteration) as caught:
        next(running)
    assert caught.value.value == "value"


# -- beyond pykka ------------------------------------------------------------------------------------------


def test_a_time_out_can_be_given_by_position_and_is_one_of_ours() -> None:
    with pytest.raises(FutureTimeoutError) as caught:
        Future[None]().get(0)
    assert isinstance(caught.value, (TimeoutError, AgentBusError))


def test_completed_and_failed() -> None:
    assert Future.completed(3).get() == 3
    failed: Future[None] = Future.failed(KeyError("why"))
    assert repr(failed.exception()) == "KeyError('why')"
    assert (failed.done(), failed.cancelled()) == (True, False)


def test_only_the_first_result_is_taken() -> None:
    future: Future[int] = Future()
    assert [future.try_set(1), future.try_set(2), future.try_set_exception(KeyError())] == [
        True,
        False,
        False,
    ]
    assert future.get() == 1
    assert future.exception() is None


def test_the_outcome_of_what_is_not_done() -> None:
    future: Future[int] = Future()
    assert not future.done()
    with pytest.raises(asyncio.InvalidStateError) as caught:
        future.exception()
    assert isinstance(caught.value, FutureStateError)


def test_an_exception_needs_an_exception() -> None:
    with pytest.raises(TypeError, match="needs an exception"):
        Future[None]().set_exception()


def test_cancel_tells_waiters_and_the_producer_once() -> None:
    told: list[str] = []
    future: Future[int] = Future()
    future.on_cancel(lambda: told.append("before"))
    assert [future.cancel(), future.cancel()] == [True, False]
    future.on_cancel(lambda: told.append("after"))
    assert told == ["before", "after"]
    assert (future.done(), future.cancelled()) == (True, True)
    assert isinstance(future.exception(), FutureCancelledError)
    with pytest.raises(FutureCancelledError):
        future.get()


def test_a_producer_may_set_what_was_cancelled_and_nothing_happens() -> None:
    future: Future[int] = Future()
    future.cancel()
    future.set(1)
    future.set_exception(KeyError())
    assert not future.try_set(1)
    assert future.cancelled()


def test_what_is_done_can_not_be_cancelled() -> None:
    told: list[str] = []
    future = Future.completed(1)
    future.on_cancel(lambda: told.append("never"))
    assert not future.cancel()
    assert (told, future.get()) == ([], 1)


def test_callbacks_run_on_the_thread_that_resolves_or_at_once() -> None:
    seen: list[tuple[str, int]] = []

    def note(name: str, future: Future[str]) -> None:
        seen.append((f"{name} {future.get()}", threading.get_ident()))

    future: Future[str] = Future()
    future.add_done_callback(partial(note, "first"))
    future.add_done_callback(partial(note, "second"))
    resolver = threads.start(partial(future.try_set, "value"))
    resolver.result()
    future.add_done_callback(partial(note, "late"))
    ident = resolver.thread.ident
    assert seen == [("first value", ident), ("second value", ident), ("late value", threading.get_ident())]


def test_a_failing_callback_harms_neither_the_resolver_nor_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[int] = []

    def fail(_future: Future[int]) -> None:
        raise SystemExit

    future: Future[int] = Future()
    future.add_done_callback(fail)
    future.add_done_callback(lambda done: seen.append(done.get()))
    future.set(1)
    assert seen == [1]
    assert "a callback of a Future failed" in caplog.text


def test_an_interrupt_in_a_callback_passes_and_wakes_the_others() -> None:
    seen: list[int] = []

    def interrupt(_future: Future[int]) -> None:
        raise KeyboardInterrupt

    future: Future[int] = Future()
    future.add_done_callback(interrupt)
    future.add_done_callback(lambda done: seen.append(done.get()))
    with pytest.raises(KeyboardInterrupt):
        future.set(1)
    assert (seen, future.get()) == ([1], 1)


def test_repr_shows_the_state_and_never_the_value() -> None:
    futures = [Future[str](), Future.completed("secret"), Future.failed(KeyError("secret")).quiet()]
    futures.append(futures[0].map(str))
    assert [repr(future) for future in futures] == [
        "<agentbus.Future pending>",
        "<agentbus.Future done: str>",
        "<agentbus.Future failed: KeyError>",
        "<agentbus.Future computed on demand>",
    ]


# -- await ---------------------------------------------------------------------------------------------------


def test_await_does_not_hold_up_its_loop(loop_thread: LoopThread) -> None:
    async def main() -> tuple[str, list[int]]:
        steps: list[int] = []
        first: Future[str] = Future()
        waiter = asyncio.ensure_future(_awaiting(first))
        for number in range(3):
            await asyncio.sleep(0)
            steps.append(number)
        loop_thread.call_soon(first.set, "value")
        return await waiter, steps

    assert asyncio.run(main()) == ("value", [0, 1, 2])


async def _awaiting(future: Future[Any]) -> Any:
    return await future


def test_many_tasks_on_two_loops_await_one_future(loop_thread: LoopThread) -> None:
    async def main() -> list[int]:
        return await asyncio.gather(*(_awaiting(future) for _ in range(50)))

    future: Future[int] = Future()
    here = threads.start(lambda: asyncio.run(main()))
    there = loop_thread.run(main())
    future.set(5)
    assert here.result() == there.get(PATIENCE) == [5] * 50


def test_results_that_come_in_a_burst_wake_the_awaiting_loop_few_times(loop_thread: LoopThread) -> None:
    wakes = 0

    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        futures = [Future[int]() for _ in range(500)]
        tasks = [asyncio.ensure_future(_awaiting(future)) for future in futures]
        await asyncio.sleep(0)
        _count_wakes(loop)
        resolved = threading.Event()

        def resolve() -> None:
            for number, future in enumerate(futures):
                future.set(number)
            resolved.set()

        loop_thread.call_soon(resolve)
        assert resolved.wait(PATIENCE)
        return await asyncio.gather(*tasks)

    def _count_wakes(loop: asyncio.AbstractEventLoop) -> None:
        wake = loop.call_soon_threadsafe

        def counting(*args: Any, **kwargs: Any) -> Any:
            nonlocal wakes
            wakes += 1
            return wake(*args, **kwargs)

        setattr(loop, "call_soon_threadsafe", counting)  # noqa: B010 -- a wiretap, not an API

    assert asyncio.run(main()) == list(range(500))
    assert wakes == 1


def test_await_raises_the_failure() -> None:
    async def main() -> None:
        future: Future[int] = Future()
        asyncio.get_running_loop().call_soon(future.set_exception, KeyError("why"))
        with pytest.raises(KeyError, match="why"):
            await future
        cancelled: Future[int] = Future()
        asyncio.get_running_loop().call_soon(cancelled.cancel)
        with pytest.raises(FutureCancelledError):
            await cancelled

    asyncio.run(main())


@pytest.mark.parametrize("cancellable", [True, False])
def test_cancelling_the_awaiting_task_cancels_only_what_wants_it(cancellable: bool) -> None:
    async def main() -> bool:
        future: Future[int] = Future(cancellable_by_waiter=cancellable)
        task = asyncio.ensure_future(_awaiting(future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return future.cancelled()

    assert run_virtual(main()) is cancellable


def test_wait_for_leaves_the_work_alone() -> None:
    async def main() -> int:
        future: Future[int] = Future()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 5)
        future.set(3)
        return await future

    assert run_virtual(main()) == 3


def test_a_resolver_does_not_mind_that_the_waiting_loop_is_gone() -> None:
    future: Future[int] = Future()
    loop = asyncio.new_event_loop()
    task = loop.create_task(_awaiting(future))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    future.set(1)
    assert future.get() == 1
    setattr(task, "_log_destroy_pending", False)  # noqa: B010 -- asyncio's own switch


def test_a_view_is_awaited_without_blocking_and_computed_on_the_awaiting_loop(
    loop_thread: LoopThread,
) -> None:
    async def main() -> tuple[list[Any], int]:
        first: Future[int] = Future()
        second: Future[int] = Future()
        where: list[int] = []

        def note(value: int) -> int:
            where.append(threading.get_ident())
            return value + 1

        view = first.map(note).join(second.map(note))
        assert not view.done()
        loop_thread.call_soon(first.set, 1)
        loop_thread.call_soon(second.set, 2)
        values = list(await view)
        assert view.done()
        assert set(where) == {threading.get_ident()}
        return values, len(where)

    assert asyncio.run(main()) == ([2, 3], 2)


def test_a_view_of_pykka_s_futures_is_awaited_without_blocking() -> None:
    async def main() -> list[Any]:
        foreign: pykka.ThreadingFuture[str] = pykka.ThreadingFuture()
        view = Future.completed("ours").join(foreign)
        task = asyncio.ensure_future(_awaiting(view))
        for _ in range(5):
            await asyncio.sleep(0)
        foreign.set("theirs")
        return list(await task)

    assert asyncio.run(main()) == ["ours", "theirs"]


def test_callbacks_of_views_run_once_every_source_is_done() -> None:
    seen: list[Any] = []
    first: Future[int] = Future()
    second: Future[int] = Future()
    view = first.join(second)
    view.add_done_callback(lambda done: seen.append(done.get()))
    second.set(2)
    assert (seen, view.done()) == ([], False)
    first.set(1)
    view.add_done_callback(lambda done: seen.append(done.exception()))
    assert seen == [[1, 2], None]


def test_callbacks_of_get_hooks_run_once_the_hook_gives_a_value() -> None:
    called: Future[Any] = Future()
    release = threading.Event()
    future: Future[str] = Future()

    def hook(_timeout: float | None) -> str:
        assert release.wait(PATIENCE)
        return "value"

    future.set_get_hook(hook)
    future.add_done_callback(called.set)
    assert not future.done()
    release.set()
    assert called.get(PATIENCE) is future
    assert (future.done(), future.get(0)) == (True, "value")


def test_cancelling_a_view_cancels_its_sources() -> None:
    first: Future[int] = Future()
    second: Future[int] = Future.completed(2)
    view = first.join(second)
    assert view.cancel()
    assert (first.cancelled(), view.cancelled(), view.done(), view.cancel()) == (True, True, True, False)
    assert isinstance(view.exception(), FutureCancelledError)


# -- failures that nobody reads ---------------------------------------------------------------------------


def _unread(future: Future[Any]) -> None:
    del future


def _got(future: Future[Any]) -> None:
    with pytest.raises(KeyError):
        future.get()


def _asked(future: Future[Any]) -> None:
    future.exception()


def _quieted(future: Future[Any]) -> None:
    future.quiet()


@pytest.mark.parametrize(("treat", "logged"), [(_unread, 1), (_got, 0), (_asked, 0), (_quieted, 0)])
def test_a_failure_that_nobody_reads_is_logged(
    treat: Callable[[Future[Any]], None], logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    treat(Future.failed(KeyError("nobody reads this")))
    assert caplog.text.count("nobody looked at it") == logged


def test_a_lost_failure_is_one_line_and_its_traceback_is_there_for_who_debugs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def lose() -> None:
        with pytest.raises(KeyError) as caught:
            dict[str, int]()["lost"]
        _unread(Future.failed(caught.value))

    with caplog.at_level(logging.INFO, logger="agentbus.runtime"):
        lose()
    assert len(caplog.text.splitlines()) == 1
    assert "KeyError: 'lost' (" in caplog.text
    assert f"{Path(__file__).name}:" in caplog.text
    with caplog.at_level(logging.DEBUG, logger="agentbus.runtime"):
        lose()
    assert "Traceback (most recent call last)" in caplog.text


@pytest.mark.parametrize("error", [BusClosedError(), AgentStopped("a"), ClientDisposedError()])
def test_how_an_end_shows_in_what_nobody_reads_is_no_news(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    _unread(Future.failed(error))
    assert caplog.text == ""


def test_a_future_that_was_quiet_from_the_start(caplog: pytest.LogCaptureFixture) -> None:
    future = Future[None]().quiet()
    future.set_exception(KeyError("boring"))
    del future
    losing = Future.completed(1)
    losing.try_set_exception(KeyError("too late"))
    del losing
    assert caplog.text == ""


def test_a_future_that_failed_is_freed_without_the_collector() -> None:
    gc.disable()
    try:
        future: Future[None] = Future.failed(KeyError())
        for _ in range(2):
            with pytest.raises(KeyError):
                future.get()
        gone = weakref.ref(future)
        del future
        assert gone() is None
    finally:
        gc.enable()


# -- races ---------------------------------------------------------------------------------------------------


@pytest.fixture
def quick_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("quick_switches")
def test_of_racing_resolvers_one_wins_and_everybody_sees_the_same() -> None:
    rounds = 300
    futures = [Future[str]() for _ in range(rounds)]
    step = threading.Barrier(5)
    called: list[list[str]] = [[] for _ in range(rounds)]

    def resolve(name: str) -> list[bool]:
        step.wait(PATIENCE)
        return [future.try_set(name) for future in futures]

    def cancel() -> list[bool]:
        step.wait(PATIENCE)
        return [future.cancel() for future in futures]

    def get() -> list[str]:
        step.wait(PATIENCE)
        return [_outcome(future) for future in futures]

    def watch() -> None:
        step.wait(PATIENCE)
        for future, calls in zip(futures, called, strict=True):
            future.add_done_callback(lambda done, calls=calls: calls.append(_outcome(done)))

    racers = [threads.start(partial(resolve, name)) for name in ("a", "b")]
    canceller, getter, watcher = threads.start(cancel), threads.start(get), threads.start(watch)
    wins = zip(*(racer.result() for racer in racers), canceller.result(), strict=True)
    assert all(sum(taken) == 1 for taken in wins)
    watcher.result()
    assert getter.result() == [_outcome(future) for future in futures]
    assert called == [[_outcome(future)] for future in futures]


def _outcome(future: Future[str]) -> str:
    try:
        return future.get(PATIENCE)
    except FutureCancelledError:
        return "cancelled"


@pytest.mark.usefixtures("quick_switches")
def test_no_waiter_is_slept_over(loop_thread: LoopThread) -> None:
    rounds = 500
    futures = [Future[int]() for _ in range(rounds)]

    async def await_all() -> int:
        return sum([await future for future in futures])

    getters = [threads.start(lambda: sum(future.get(PATIENCE) for future in futures)) for _ in range(2)]
    awaiting = loop_thread.run(await_all())
    for number, future in enumerate(futures):
        future.set(number)
    total = sum(range(rounds))
    assert [getter.result() for getter in getters] == [total, total]
    assert awaiting.get(PATIENCE) == total


def test_a_waiter_that_gave_up_leaves_nothing_behind() -> None:
    future: Future[int] = Future()
    before = sys.getsizeof(vars(future)["_waiters"])
    for _ in range(100):
        with pytest.raises(FutureTimeoutError):
            future.get(0)
    assert len(vars(future)["_waiters"]) == 1
    assert sys.getsizeof(vars(future)["_waiters"]) <= before + 64


# -- any order of operations ------------------------------------------------------------------------------

OPERATIONS = ("set", "fail", "cancel", "callback", "on_cancel", "await", "get")


@given(st.lists(st.sampled_from(OPERATIONS), max_size=12))
def test_every_order_of_operations_agrees_with_the_first_result(operations: list[str]) -> None:
    first = next((each for each in operations if each in {"set", "fail", "cancel"}), None)
    calls = itertools.count()
    future = Future[str]().quiet()
    told = 0

    def tell() -> None:
        nonlocal told
        told += 1

    with VirtualLoop() as loop:
        tasks: list[asyncio.Task[str]] = []
        for operation in operations:
            if operation == "await":
                tasks.append(loop.create_task(_describe(future)))
            _apply(operation, future, calls, tell)
            loop.run_until_idle()
        outcomes = [task.result() for task in tasks if task.done()]
    expected = {"set": "value", "fail": "KeyError", "cancel": "FutureCancelledError", None: "pending"}[first]
    assert outcomes == ([expected] * len(tasks) if first else [])
    assert next(calls) == (operations.count("callback") if first else 0)
    assert told == (operations.count("on_cancel") if first == "cancel" else 0)


async def _describe(future: Future[str]) -> str:
    try:
        return await future
    except (KeyError, FutureCancelledError) as error:
        return type(error).__name__


def _apply(operation: str, future: Future[str], calls: Iterator[int], tell: Callable[[], None]) -> None:
    match operation:
        case "set":
            future.try_set("value")
        case "fail":
            future.try_set_exception(KeyError())
        case "cancel":
            future.cancel()
        case "callback":
            future.add_done_callback(lambda _done: next(calls))
        case "on_cancel":
            future.on_cancel(tell)
        case "get" if not future.done():
            with pytest.raises(FutureTimeoutError):
                future.get(0)
        case _:
            pass
