"""Streams while their world falls apart: every one is a prefix and an end, and nothing is left of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from agentbus.agents import AgentStream, AsyncAgentActor, Bus, Streaming, StreamStatus, handles
from agentbus.errors import AgentBusError
from agentbus.runtime import Backoff, RestartMode, RestartPolicy, virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.streams.agents import Crash, left_over

POLICY = RestartPolicy(
    mode=RestartMode.RESTART, intensity=1000, backoff=Backoff(initial_delay=0.0, jitter_ratio=0.0)
)
NODES = ("a", "b", "c")
STEPS = 150


class Flow(Streaming[int]):
    count: int
    pause: float


class Source(AsyncAgentActor):
    """Counts what it has begun, and what of that has ended."""

    concurrency = 50

    def __init__(self, open_ones: dict[object, None]) -> None:
        self.open_ones = open_ones

    @handles
    async def flow(self, task: Flow) -> AsyncIterator[int]:
        key = object()
        self.open_ones[key] = None
        try:
            for number in range(task.count):
                if task.pause:
                    await virtual_sleep(task.pause)
                yield number
        finally:
            del self.open_ones[key]

    @handles
    async def crash(self, _message: Crash) -> None:
        raise ValueError("asked to")


class Reading:
    """One consumer and what it has seen."""

    def __init__(self, stream: AgentStream[int], count: int, dice: Random) -> None:
        self.stream = stream
        self.count = count
        self.seen: list[int] = []
        self.stop_at = dice.choice((None, None, dice.randrange(1, 200)))
        self.pause = dice.choice((0.0, 0.0, 0.3))
        self.task = asyncio.ensure_future(self.read())

    async def read(self) -> None:
        with suppress(AgentBusError):
            async for number in self.stream:
                self.seen.append(number)
                if number == self.stop_at:
                    self.stream.cancel()
                if self.pause:
                    await virtual_sleep(self.pause)

    def check(self) -> None:
        assert self.task.done()
        self.task.result()
        assert self.seen == list(range(len(self.seen)))
        assert self.stream.received == len(self.seen)
        assert self.stream.status is not StreamStatus.OPEN
        assert self.stream.status is not StreamStatus.COMPLETE or len(self.seen) == self.count


class Chaos:
    """Three nodes, streams between all of them, and faults."""

    def __init__(self, cluster: Cluster, dice: Random) -> None:
        self.cluster = cluster
        self.dice = dice
        self.open_ones: dict[object, None] = {}
        self.readings: list[Reading] = []
        self.alive: dict[str, Bus] = {}
        self.lives = 0

    async def start(self, node: str) -> None:
        self.lives += 1
        bus = self.cluster.make(node, client=f"{node}{self.lives}")
        await bus.start()
        bus.spawn(Source, self.open_ones, name="source", supervision=POLICY)
        self.alive[node] = bus

    def client(self, node: str) -> str:
        return next(name for name in reversed(self.cluster.events) if name.startswith(node))

    async def step(self) -> None:
        dice, network = self.dice, self.cluster.network
        node = dice.choice(NODES)
        match dice.randrange(14):
            case 0:
                network.cut(self.client(node), silently=dice.random() < 0.3)
            case 1 if dice.random() < 0.3:
                await self.cluster.shell.shutdown(0.1)
                await virtual_sleep(dice.choice((0.0, 3.0)))
                self.cluster.start_hub()
            case 2 if dice.random() < 0.4:
                await self.alive.pop(node).close()
                await self.start(node)
            case 3 if dice.random() < 0.2:
                with network.refusing(self.client(node)):
                    network.cut(self.client(node))
                    await virtual_sleep(dice.choice((5.0, 30.0)))
            case 4:
                self.alive[node].ref(f"{dice.choice(NODES)}/source").tell(Crash())
            case 5 | 6:
                await virtual_sleep(dice.choice((0.01, 0.5, 4.0)))
            case _:
                self.open(node)

    def open(self, node: str) -> None:
        dice = self.dice
        count, pause = dice.choice(((0, 0.0), (5, 0.0), (300, 0.0), (2000, 0.0), (100, 0.1)))
        options: dict[str, Any] = {
            "credit": dice.choice((1, 3, 64)),
            "timeout": dice.choice((None, 2.0, 90.0)),
        }
        ref = self.alive[node].ref(f"{dice.choice(NODES)}/source")
        self.readings.append(Reading(ref.stream(Flow(count=count, pause=pause), **options), count, dice))

    async def settle(self) -> None:
        await self.cluster.until(lambda: all(reading.task.done() for reading in self.readings), within=1500)
        await self.cluster.until(lambda: not self.open_ones, within=60)
        for reading in self.readings:
            reading.check()


@pytest.mark.parametrize("seed", [5, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(40, 60))])
def test_every_stream_is_a_prefix_and_an_end(seed: int) -> None:
    async def scenario(cluster: Cluster) -> None:
        chaos = Chaos(cluster, Random(seed))
        for node in NODES:
            await chaos.start(node)
        for _ in range(STEPS):
            await chaos.step()
        await chaos.settle()
        statuses = {reading.stream.status for reading in chaos.readings}
        assert StreamStatus.COMPLETE in statuses
        assert len(statuses) > 3
        await cluster.until(lambda: not any(left_over(cluster)), within=60)

    simulate(scenario, seed=seed)
