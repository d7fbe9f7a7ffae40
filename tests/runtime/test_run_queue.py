"""The tasks that serve the cells of a loop: shared by handlers that do not wait, left to those that do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from agentbus.errors import FutureCancelledError
from agentbus.runtime import CellRef, virtual_sleep
from agentbus.runtime.run_queue import IDLE_ROUNDS
from agentbus.runtime.turns import MESSAGES_PER_TURN
from tests.runtime.cells import CellWorld, Worker

mark: ContextVar[str] = ContextVar("mark", default="fresh")


class Doer(Worker):
    """Runs what it is sent, as a coroutine."""

    async def on_message(self, message: Callable[[], Any]) -> Any:
        result = message()
        return await result if asyncio.iscoroutine(result) else result


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Iterator[CellWorld]:
    caplog.set_level(logging.CRITICAL, "agentbus.runtime")
    world = CellWorld()
    with world.loop:
        yield world


def own_task() -> asyncio.Task[Any] | None:
    return asyncio.current_task()


async def cancel_oneself() -> str:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return "done all the same"


async def wait_then_give_task() -> asyncio.Task[Any] | None:
    await virtual_sleep(1.0)
    return asyncio.current_task()


def asked(world: CellWorld, ref: CellRef, *work: Callable[[], Any]) -> list[Any]:
    futures = [ref.ask(each) for each in work]
    world.pass_time(100.0)
    return [future.get() for future in futures]


def test_handlers_that_wait_for_nothing_share_a_task(world: CellWorld) -> None:
    tasks = asked(world, world.start(Doer), *[own_task] * 10)
    assert len(set(tasks)) == 1
    assert None not in tasks


def test_a_handler_that_waits_keeps_its_task_to_itself(world: CellWorld) -> None:
    ref = world.start(Doer, concurrency=2)
    first, second, third = asked(world, ref, wait_then_give_task, own_task, wait_then_give_task)
    assert first is not third
    assert first is not second


def test_what_a_handler_does_to_its_context_ends_with_it(world: CellWorld) -> None:
    def change() -> str:
        before = mark.get()
        mark.set("changed")
        return before

    async def change_and_wait() -> tuple[str, str]:
        before = change()
        await virtual_sleep(1.0)
        return before, mark.get()

    ref = world.start(Doer)
    seen = asked(world, ref, change, change_and_wait, change)
    assert seen == ["fresh", ("fresh", "changed"), "fresh"]


def test_a_task_that_a_handler_has_cancelled_in_passing_hits_nobody_else(world: CellWorld) -> None:
    ref = world.start(Doer)
    first, second = asked(world, ref, cancel_oneself, wait_then_give_task)
    assert first == "done all the same"
    assert second is not None
    assert ref.restarts == 0


def test_cancelling_an_ask_cancels_the_handler_that_waits_and_no_other(world: CellWorld) -> None:
    ref = world.start(Doer, concurrency=2)
    doomed, other = ref.ask(wait_then_give_task), ref.ask(wait_then_give_task)
    world.settle()
    doomed.cancel()
    world.pass_time(2.0)
    assert isinstance(doomed.exception(), FutureCancelledError)
    assert other.exception() is None
    assert ref.restarts == 0


def test_a_timeout_and_a_task_group_work_in_a_shared_task(world: CellWorld) -> None:
    async def both() -> str:
        async with asyncio.timeout(0.5), asyncio.TaskGroup() as group:
            child = group.create_task(virtual_sleep(5.0))
        return f"not reached: {child}"

    async def guarded() -> str:
        try:
            return await both()
        except TimeoutError:
            return "too late"

    assert asked(world, world.start(Doer), own_task, guarded, guarded)[1:] == ["too late"] * 2


def test_one_cell_with_much_to_do_does_not_keep_the_others_waiting(world: CellWorld) -> None:
    order: list[str] = []
    busy, other = world.start(Doer, name="busy"), world.start(Doer, name="other")
    world.settle()
    for _ in range(3 * MESSAGES_PER_TURN):
        busy.tell(lambda: order.append("busy"))
    other.tell(lambda: order.append("other"))
    world.settle()
    assert order.index("other") == MESSAGES_PER_TURN
    assert order.count("busy") == 3 * MESSAGES_PER_TURN


def test_the_serving_task_ends_when_nothing_is_left(world: CellWorld) -> None:
    ref = world.start(Doer)
    (task,) = asked(world, ref, own_task)
    assert task.done()
    assert world.loop.tasks() == []


def test_who_cancels_all_tasks_stops_no_cell(world: CellWorld) -> None:
    ref = world.start(Doer)
    world.settle()
    future = ref.ask(own_task)
    world.loop.cancel_all()
    assert future.get() is not None
    assert asked(world, ref, own_task) != [None]


def test_it_stays_for_the_next_question(world: CellWorld) -> None:
    tasks: list[Any] = []
    ref = world.start(Doer)

    async def ask_again_and_again() -> None:
        tasks.extend([await ref.ask(own_task) for _ in range(5)])

    world.loop.run_until_complete(ask_again_and_again())
    assert IDLE_ROUNDS > 1
    assert len(set(tasks[1:])) == 1
