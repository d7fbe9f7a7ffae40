"""Outlet and inlet: who waits for credit is woken by it, on threads and on loops."""

from __future__ import annotations

import asyncio
import threading

import pytest

from agentbus.errors import StreamClosedError
from agentbus.runtime import run_virtual
from agentbus.runtime.inlet import Inlet
from agentbus.runtime.outlet import Outlet


def test_a_thread_that_waits_is_woken_by_a_grant_and_by_the_close() -> None:
    taken: list[int] = []
    outlet: Outlet[int] = Outlet(taken.append)
    waits: list[bool] = []

    def produce() -> None:
        while outlet.wait():
            outlet.put(len(taken))
        waits.append(outlet.closed)

    thread = threading.Thread(target=produce)
    thread.start()
    outlet.grant(3)
    while len(taken) < 3:
        thread.join(0.001)
    outlet.close()
    thread.join(10)
    assert not thread.is_alive()
    assert (taken, waits) == ([0, 1, 2], [True])


def test_a_task_that_waits_is_woken_by_a_grant_and_by_the_close() -> None:
    async def main() -> None:
        taken: list[int] = []
        outlet: Outlet[int] = Outlet(taken.append)
        waiting = asyncio.ensure_future(outlet.wait_async())
        await asyncio.sleep(0)
        outlet.grant(1)
        assert await waiting
        outlet.put(1)
        waiting = asyncio.ensure_future(outlet.wait_async())
        await asyncio.sleep(0)
        outlet.close()
        assert not await waiting
        outlet.put(2)
        assert taken == [1], "nobody wants more after the close"

    run_virtual(main())


def test_a_pause_holds_a_producer_up_whatever_its_credit() -> None:
    calls: list[str] = []
    outlet: Outlet[int] = Outlet(lambda _chunk: None, 5)
    outlet.pause(paused=True)
    assert not outlet.ready
    outlet.when_ready(lambda: calls.append("ready"))
    assert calls == []
    outlet.pause(paused=False)
    assert calls == ["ready"]


def test_whoever_asks_late_hears_of_the_close_at_once() -> None:
    calls: list[str] = []
    outlet: Outlet[int] = Outlet(lambda _chunk: None)
    outlet.on_close(lambda: calls.append("early"))
    outlet.close()
    outlet.close()
    outlet.on_close(lambda: calls.append("late"))
    outlet.when_ready(lambda: calls.append("ready"))
    assert calls == ["early", "late", "ready"]


def test_an_inlet_gives_what_arrived_before_its_end_and_refuses_what_was_not_granted() -> None:
    grants: list[int] = []
    inlet: Inlet[int] = Inlet(2, grants.append)
    inlet.open()
    inlet.open()
    assert [inlet.put(number) for number in range(3)] == [True, True, False]
    inlet.end()
    assert [inlet.take(), inlet.take()] == [0, 1]
    with pytest.raises(StreamClosedError):
        inlet.take()
    assert grants == [2], "after the end nothing more is granted"
    assert inlet.received == 2
