"""Two hundred ends of workers at random moments: nothing is lost, nothing is acked twice."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from agentbus.agents.bus import Bus
from agentbus.agents.queues.handle import Queue
from agentbus.agents.queues.puller_messages import DrainWorker
from agentbus.agents.queues.worker_events import JobHandedBack
from agentbus.agents.ref import AgentRef
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.queues.worker_agents import Run, Runner

TRIALS = 200
JOBS = 5


class Trials:
    """A queue, a worker that stays, and one that comes and goes."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.random = Random(seed)
        self.runs: list[tuple[str, str]] = []
        self.queue: Queue
        self.resident: Bus
        self.dead: set[str] = set()

    async def set(self) -> None:
        host, self.resident = await self.cluster.join("queue", "resident")
        self.host = host
        self.queue = host.queue("q", store="memory://")
        await self.queue.ready
        self.resident.spawn(Runner, self.runs, queue="q", concurrency=2, name="w", drain_timeout=1.0)

    async def once(self, number: int) -> None:
        (bus,) = await self.cluster.join(f"guest-{number}")
        worker = bus.spawn(Runner, self.runs, queue="q", concurrency=3, name="w", drain_timeout=3.0)
        random = self.random
        jobs = [
            await self.queue.put(Run(random.choice([0.0, 0.5, random.uniform(0, 6)]), random.random() < 0.2))
            for _ in range(JOBS)
        ]
        await virtual_sleep(random.uniform(0, 5))
        await self._end(bus, worker, random.choice(["drain", "close", "twice", "stop", "die"]))
        for job in jobs:
            assert await job.result() == "ran"
        self._account({job.id for job in jobs})

    async def _end(self, bus: Bus, worker: AgentRef, how: str) -> None:
        if how == "drain":
            await bus.drain(self.random.uniform(0.1, 10))
        elif how == "stop":
            await worker.stop()
        elif how == "twice":
            first = worker.ask(DrainWorker(5.0))
            await virtual_sleep(self.random.uniform(0, 3))
            await worker.ask(DrainWorker(0.0))
            await first
        elif how == "die":
            self.dead.add(bus.node)
            with self.cluster.network.partition(bus.node):
                self.host.certify_exit(bus.node)
                await virtual_sleep(30.0)
                await bus.close()
        if how != "die":
            await bus.close()

    def _account(self, jobs: set[str]) -> None:
        """Check that what ran twice was handed back, or its worker died."""
        handed_back = {
            event.job_id
            for events in self.cluster.events.values()
            for event in events
            if isinstance(event, JobHandedBack)
        }
        for job in jobs:
            nodes = [node for ran, node in self.runs if ran == job]
            assert nodes
            assert len(nodes) == 1 or job in handed_back or self.dead.intersection(nodes)


@pytest.mark.parametrize("seed", range(4))
def test_no_end_of_a_worker_loses_a_job_or_acks_it_twice(seed: int) -> None:
    async def scenario(cluster: Cluster) -> None:
        trials = Trials(cluster, seed)
        await trials.set()
        for number in range(TRIALS // 4):
            await trials.once(number)
        stats: Any = await trials.queue.stats()
        assert (stats.put, stats.acked, stats.dead) == (TRIALS // 4 * JOBS, TRIALS // 4 * JOBS, 0)
        assert any(len([1 for ran, _ in trials.runs if ran == job]) > 1 for job, _ in trials.runs)

    simulate(scenario, seed=seed)
