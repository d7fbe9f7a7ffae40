"""`ReceiveTimeout`: agents that are told when no message comes."""

from __future__ import annotations

import gc
import weakref
from itertools import pairwise
from typing import Any

import pytest

from agentbus.agents import AgentActor, AsyncAgentActor, Bus, Message, ReceiveTimeout, Request, handles
from agentbus.agents.agent import Agent
from agentbus.runtime import Future, RestartMode, RestartPolicy, VirtualLoop, virtual_sleep
from tests.agents.cluster import Cluster, simulate


class Work(Request[int]):
    seconds: float = 0.0


class Wait(Message):
    seconds: float | None


class Listener(AsyncAgentActor):
    receive_timeout = 10.0

    def __init__(self, loop: VirtualLoop, told: list[float]) -> None:
        self.loop = loop
        self.told = told

    @handles
    async def work(self, work: Work) -> int:
        await virtual_sleep(work.seconds)
        return 1

    @handles
    async def wait(self, wait: Wait) -> None:
        self.set_receive_timeout(wait.seconds)
        await virtual_sleep(1.0)

    @handles
    def silence(self, silence: ReceiveTimeout) -> None:
        self.told.append(round(self.loop.time(), 3))


class SyncListener(AgentActor):
    receive_timeout = 10.0

    def __init__(self, loop: VirtualLoop, told: list[float]) -> None:
        self.loop = loop
        self.told = told

    @handles
    def work(self, work: Work) -> int:
        return 1

    @handles
    def wait(self, wait: Wait) -> None:
        self.set_receive_timeout(wait.seconds)

    @handles
    def silence(self, silence: ReceiveTimeout) -> None:
        self.told.append(round(self.loop.time(), 3))


KINDS = pytest.mark.parametrize("kind", [Listener, SyncListener])


async def listen(cluster: Cluster, kind: type[Agent], **options: Any) -> tuple[Any, list[float], float]:
    """Start a listener; gives its ref, when it is told, and the time."""
    (bus,) = await cluster.join("one")
    told: list[float] = []
    ref = bus.spawn(kind, cluster.loop, told, name="listener", **options)
    await ref.ask(Work())
    return ref, told, round(cluster.loop.time(), 3)


@KINDS
def test_an_agent_is_told_of_silence_and_again_after_each_further_one(kind: type[Agent]) -> None:
    async def scenario(cluster: Cluster) -> None:
        _, told, start = await listen(cluster, kind)
        await virtual_sleep(35.0)
        assert told == pytest.approx([start + 10, start + 20, start + 30])

    simulate(scenario)


@KINDS
def test_each_message_begins_a_new_silence(kind: type[Agent]) -> None:
    async def scenario(cluster: Cluster) -> None:
        ref, told, start = await listen(cluster, kind)
        for _ in range(5):
            await virtual_sleep(8.0)
            await ref.ask(Work())
        assert told == []
        await virtual_sleep(11.0)
        assert told == pytest.approx([start + 50])

    simulate(scenario)


def test_a_busy_agent_is_not_told() -> None:
    async def scenario(cluster: Cluster) -> None:
        ref, told, start = await listen(cluster, Listener)
        await ref.ask(Work(25.0))
        assert told == []
        await virtual_sleep(11.0)
        assert told == pytest.approx([start + 35])
        ref.tell(Work(9.0))  # begins in the same moment in which the next silence would be told
        await virtual_sleep(9.5)
        assert len(told) == 1

    simulate(scenario)


def test_a_message_that_comes_at_the_last_moment_goes_first() -> None:
    async def scenario(cluster: Cluster) -> None:
        ref, told, start = await listen(cluster, Listener)
        cluster.loop.call_later(start + 10.0 - cluster.loop.time(), lambda: ref.tell(Work(5.0)))
        await virtual_sleep(14.0)
        assert len(told) <= 1
        await virtual_sleep(20.0)
        assert all(later - earlier >= 10.0 for earlier, later in pairwise(told))

    simulate(scenario)


@KINDS
def test_it_can_be_set_and_ended_at_any_time(kind: type[Agent]) -> None:
    async def scenario(cluster: Cluster) -> None:
        ref, told, _ = await listen(cluster, kind)
        await ref.tell(Wait(3.0))
        start = cluster.loop.time()
        await virtual_sleep(7.0)
        assert told == pytest.approx([start + 3, start + 6], abs=0.01)
        await ref.tell(Wait(None))
        await virtual_sleep(60.0)
        assert len(told) == 2

    simulate(scenario)


class Failing(AsyncAgentActor):
    receive_timeout = 1.0

    @handles
    def silence(self, silence: ReceiveTimeout) -> None:
        raise ValueError("too quiet")


def test_a_handler_that_fails_on_it_fails_as_on_any_message() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        policy = RestartPolicy(mode=RestartMode.RESTART, intensity=2)
        ref = bus.spawn(Failing, supervision=policy)
        await cluster.until(lambda: bus.find(name=ref.name) == [])
        failures = [event for event in cluster.events["one"] if type(event).__name__ == "AgentFailure"]
        assert [getattr(each, "message_type", "") for each in failures] == ["agentbus.ReceiveTimeout"] * 3

    simulate(scenario)


class Deaf(AsyncAgentActor):
    receive_timeout = 1.0

    @handles
    def work(self, work: Work) -> int:
        self.set_receive_timeout(5.0)
        return 1


class LaterDeaf(Deaf):
    receive_timeout = None


def test_without_a_handler_it_is_refused() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        with pytest.raises(TypeError, match="no handler of ReceiveTimeout"):
            bus.spawn(Deaf)
        told = bus.spawn(LaterDeaf).tell(Work())
        assert (await told).value == "dead-lettered"

    simulate(scenario)


class Blocking(AgentActor):
    receive_timeout = 0.01

    def __init__(self, told: Future[float]) -> None:
        self.told = told

    @handles
    def silence(self, silence: ReceiveTimeout) -> None:
        self.told.try_set(silence.seconds)
        self.set_receive_timeout(None)


def test_a_thread_is_told_too_and_nothing_is_kept_alive() -> None:
    told: Future[float] = Future()
    with Bus() as bus:
        ref = bus.spawn(Blocking, told)
        assert told.get(timeout=5) == 0.01
        quiet = bus.spawn(Blocking, Future[float]())
        agents = [weakref.ref(each) for each in gc.get_objects() if isinstance(each, Blocking)]
        assert ref.stop().get(timeout=5)
        assert quiet.stop().get(timeout=5)
        assert bus.drain().get(timeout=10)
    gc.collect()
    assert [each for each in agents if each() is not None] == []
