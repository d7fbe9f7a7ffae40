"""Processes that share one virtual loop: stopped, going on, killed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from agentbus.runtime import VirtualLoop
from agentbus.testing.simulation import Process, ProcessLoop


class Town:
    """A host and a process on it, with a log."""

    def __init__(self, host: VirtualLoop) -> None:
        self.host = host
        self.process = Process(host, "p", "seed")
        self.loop = self.process.loop
        self.log: list[tuple[float, str]] = []

    def note(self, what: str) -> None:
        self.log.append((self.host.time(), what))


@pytest.fixture
def town() -> Iterator[Town]:
    with VirtualLoop() as host:
        made = Town(host)
        yield made
        made.process.end()


def test_a_stopped_process_runs_nothing_and_its_timers_fire_late(town: Town) -> None:
    town.loop.call_later(1.0, town.note, "timer")
    town.loop.pause()
    town.loop.call_soon(town.note, "soon")
    town.host.advance(5.0)
    assert town.log == []
    town.loop.resume()
    town.host.run_until_idle()
    assert town.log == [(5.0, "soon"), (5.0, "timer")]


def test_what_came_in_while_it_stood_still_is_done_in_order(town: Town) -> None:
    town.loop.pause()
    for name in "abc":
        town.loop.perform(town.note, name)
    town.loop.resume()
    town.loop.perform(town.note, "after")
    town.host.run_until_idle()
    assert [what for _, what in town.log] == ["a", "b", "c", "after"]
    town.loop.perform(town.note, "at once")
    assert town.log[-1] == (0.0, "at once")


def test_a_process_is_its_own_running_loop(town: Town) -> None:
    seen: list[asyncio.AbstractEventLoop] = []
    town.loop.call_soon(lambda: seen.append(asyncio.get_running_loop()))
    town.host.run_until_idle()
    assert seen == [town.loop]
    assert town.process.home.clock is town.loop.clock


def test_a_process_has_the_time_of_its_world_and_its_own_idea_of_the_hour(town: Town) -> None:
    clock, world = town.process.home.clock, town.host.clock
    town.loop.clock.ahead = 3600.0
    town.host.advance(5.0)
    assert (clock.monotonic(), clock.wall()) == (world.monotonic(), world.wall() + 3600.0)


def test_tasks_sleep_on_virtual_time(town: Town) -> None:
    async def work() -> None:
        async with asyncio.timeout(10.0):
            await town.loop.run_in_executor(None, town.note, "inline")
            await asyncio.Event().wait()

    task = town.loop.create_task(work())
    assert (task.get_name(), town.process.leftovers()) == ("p-1", ["p: task p-1"])
    town.host.advance(11.0)
    assert isinstance(task.exception(), TimeoutError)
    assert town.log == [(0.0, "inline")]
    assert town.process.leftovers() == []


def test_a_killed_process_never_runs_again_not_even_its_finally(town: Town) -> None:
    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            town.loop.call_soon(town.note, "finally")

    town.loop.create_task(work())
    town.loop.call_later(1.0, town.note, "timer")
    town.host.run_until_idle()
    town.loop.kill()
    town.loop.perform(town.note, "performed")
    town.loop.call_soon(town.note, "soon")
    town.host.advance(5.0)
    town.process.end()
    town.host.advance(5.0)
    assert town.log == []


def test_a_cancelled_timer_is_no_leftover(town: Town) -> None:
    timer = town.loop.call_later(1.0, town.note, "timer")
    assert [what.partition(" at")[0] for what in town.process.leftovers()] == ["p: timer Town.note"]
    timer.cancel()
    assert town.process.leftovers() == []
    town.host.advance(2.0)
    assert town.log == []


def test_failures_reach_the_host(town: Town) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    town.loop.call_soon(fail)
    town.host.run_until_idle()
    assert [type(error) for error in town.host.exceptions] == [ZeroDivisionError]
    town.host.exceptions.clear()


def test_its_chance_and_its_ids_come_from_its_seed() -> None:
    with VirtualLoop() as host:
        one, same, other = Process(host, "a", "1"), Process(host, "b", "1"), Process(host, "c", "2")
        ids = [process.runtime.new_id() for process in (one, same, other)]
        assert isinstance(one.loop, ProcessLoop)
        for process in (one, same, other):
            process.end()
    assert ids[0] == ids[1] != ids[2]
