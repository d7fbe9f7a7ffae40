"""Many lives leave nothing: no memory, no thread, no timer; and an idle agent is small."""

from __future__ import annotations

import gc
import threading
import tracemalloc

import pytest

from agentbus.agents import AgentActor, AsyncAgentActor, Bus, MemoryStore
from agentbus.runtime import Future

MEASURED_TURNS = 500


class Idle(AsyncAgentActor):
    """Does nothing."""


class Watched(Idle):
    stall_timeout = 30.0


class Threaded(AgentActor):
    """Does nothing, on a thread of its own."""

    def snapshot(self) -> None:
        return None

    def restore(self, state: object) -> None: ...


def spawn_and_stop(bus: Bus, turns: int) -> None:
    """Keep a hundred under way, so that it is not the waiting that is measured."""
    stopping: list[Future[bool]] = []
    for turn in range(turns):
        cls = (Idle, Watched)[turn % 2]
        stopping.append(bus.spawn(cls, name=f"agent-{turn % 1000}-{turn}").stop())
        if len(stopping) == 100:
            while stopping:
                stopping.pop().get(timeout=30)


def traced_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def growth_of(bus: Bus, turns: int) -> int:
    """Give the bytes that `turns` lives leave behind."""
    spawn_and_stop(bus, MEASURED_TURNS)
    tracemalloc.start()
    try:
        spawn_and_stop(bus, MEASURED_TURNS)
        before = traced_bytes()
        spawn_and_stop(bus, turns)
        return traced_bytes() - before
    finally:
        tracemalloc.stop()


def test_five_thousand_lives_leave_nothing() -> None:
    with Bus() as bus:
        threads = threading.active_count()
        assert growth_of(bus, 5_000) < 400_000  # 80 bytes each
        assert threading.active_count() <= threads + 1
        assert bus.find() == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hundred_thousand_lives_leave_nothing() -> None:
    with Bus() as bus:
        threads = threading.active_count()
        assert growth_of(bus, 100_000) < 400_000  # 4 bytes each
        assert threading.active_count() <= threads + 1


def test_agents_on_threads_and_stored_ones_leave_no_thread() -> None:
    with Bus() as bus:
        bus.spawn(Idle).stop().get(timeout=30)
        threads = set(threading.enumerate())
        refs = [bus.spawn(Threaded, name=f"t{number}", store=MemoryStore()) for number in range(50)]
        assert len(set(threading.enumerate()) - threads) == 50
        for ref in refs:
            ref.stop().get(timeout=30)
        for thread in set(threading.enumerate()) - threads:
            thread.join(timeout=30)
            assert not thread.is_alive()


@pytest.mark.slow
def test_an_idle_agent_takes_twenty_kilobytes_at_most() -> None:
    with Bus() as bus:
        bus.spawn(Idle)
        tracemalloc.start()
        try:
            before = traced_bytes()
            refs = [bus.spawn(Idle, name=f"agent-{number}") for number in range(10_000)]
            each = (traced_bytes() - before) / len(refs)
        finally:
            tracemalloc.stop()
        assert each < 20_000
