from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, cast

import pytest

from agentbus.runtime import HostedLoop, VirtualLoop, virtual_sleep
from agentbus.runtime.owned import OwnedTasks, OwnedTimers


class Endings:
    """What a `then` was called with."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, str | None]] = []

    def __call__(self, value: Any, error: BaseException | None) -> None:
        self.seen.append((value, None if error is None else type(error).__name__))


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    with loop:
        yield loop


async def work(result: Any, seconds: float = 0.0) -> Any:
    await virtual_sleep(seconds)
    if isinstance(result, BaseException):
        raise result
    return result


class TestTasks:
    @pytest.mark.parametrize(
        ("result", "ending"),
        [
            ("done", ("done", None)),
            (ValueError("oops"), (None, "ValueError")),
            (asyncio.CancelledError(), (None, "CancelledError")),
        ],
        ids=["value", "error", "cancelled"],
    )
    def test_each_ends_in_one_call(self, loop: VirtualLoop, result: Any, ending: Any) -> None:
        endings, tasks = Endings(), OwnedTasks(HostedLoop(loop))
        tasks.start(work(result), endings)
        assert len(tasks) == 1
        loop.run_until_idle()
        assert (endings.seen, len(tasks)) == ([ending], 0)

    def test_what_follows_runs_in_the_context_of_who_started_it(self, loop: VirtualLoop) -> None:
        mark: ContextVar[str] = ContextVar("mark", default="nobody's")
        seen: list[str] = []

        async def marking() -> None:
            mark.set("the task's")

        tasks = OwnedTasks(HostedLoop(loop))
        token = mark.set("the starter's")
        tasks.start(marking(), lambda _value, _error: seen.append(mark.get()))
        mark.reset(token)
        loop.run_until_idle()
        assert seen == ["the starter's"]

    def test_system_exit_stays_inside(self, loop: VirtualLoop) -> None:
        endings, tasks = Endings(), OwnedTasks(HostedLoop(loop))
        tasks.start(work(SystemExit(1)), endings)
        loop.run_until_idle()
        assert endings.seen == [(None, "SystemExit")]

    def test_cancelled_before_its_first_step_it_never_runs(self, loop: VirtualLoop) -> None:
        endings, tasks = Endings(), OwnedTasks(HostedLoop(loop))
        tasks.start(work("never"), endings)
        tasks.cancel()
        loop.run_until_idle()
        assert endings.seen == [(None, "CancelledError")]

    def test_when_empty_waits_for_the_last(self, loop: VirtualLoop) -> None:
        empty: list[float] = []
        tasks = OwnedTasks(HostedLoop(loop))
        tasks.when_empty(lambda: empty.append(-1.0))
        for seconds in (1.0, 3.0):
            tasks.start(work(None, seconds), Endings())
        tasks.when_empty(lambda: empty.append(loop.time()))
        loop.advance(5.0)
        assert empty == [-1.0, 3.0]

    def test_the_abandoned_are_nobodys_business(self, loop: VirtualLoop) -> None:
        empty: list[str] = []
        endings, tasks = Endings(), OwnedTasks(HostedLoop(loop))
        tasks.start(work("late", 1.0), endings)
        tasks.when_empty(lambda: empty.append("empty"))
        tasks.abandon()
        loop.advance(2.0)
        assert (empty, endings.seen) == (["empty"], [])

    def test_one_that_ends_while_it_is_started_ends_in_one_call_too(self) -> None:
        """Newer Pythons start tasks eagerly."""

        def at_once_or_never(
            loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **_options: Any
        ) -> asyncio.Future[Any]:
            future: asyncio.Future[Any] = loop.create_future()
            try:
                coroutine.send(None)
            except StopIteration as stop:
                future.set_result(stop.value)
            return future

        async def at_once() -> str:
            return "at once"

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_task_factory(cast("Any", at_once_or_never))
            endings, tasks = Endings(), OwnedTasks(HostedLoop(loop))
            tasks.start(at_once(), endings)
            assert (endings.seen, len(tasks)) == ([("at once", None)], 0)

        asyncio.run(main())


class TestTimers:
    def test_they_call_once_and_are_forgotten(self, loop: VirtualLoop) -> None:
        calls: list[float] = []
        timers, hosted = OwnedTimers(), HostedLoop(loop)
        timers.call_later(hosted, 2.0, lambda: calls.append(loop.time()))
        assert len(timers) == 1
        loop.advance(5.0)
        assert (calls, len(timers)) == ([2.0], 0)

    def test_one_or_all_can_be_called_off(self, loop: VirtualLoop) -> None:
        calls: list[int] = []
        timers, hosted = OwnedTimers(), HostedLoop(loop)
        started = [timers.call_later(hosted, 1.0, lambda: calls.append(1)) for _ in range(3)]
        started[0].cancel()
        started[0].cancel()
        assert (started[0].cancelled, len(timers)) == (True, 2)
        timers.cancel()
        loop.advance(2.0)
        assert (calls, len(timers)) == ([], 0)
