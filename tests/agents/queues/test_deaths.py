"""A job goes to somebody else at once if its worker is certainly dead, and else when its lease ends."""

from __future__ import annotations

import asyncio

import pytest

from agentbus import Bus
from agentbus.agents.events import BusConnected, DeathReason, NodeDead, NodeReborn, NodeSuspect
from agentbus.agents.queues.core.job import LeasedJob
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.queues.workers import Double, Hand

LEASE = 30.0


async def _leased(cluster: Cluster, host: Bus, worker: Bus) -> tuple[Hand, LeasedJob]:
    """Host a queue with one job, which a worker on another node has."""
    queue = host.queue("tasks", store="memory://", options=QueueOptions(lease=LEASE))
    await queue.put(Double(1))
    hand = Hand(worker, "host")
    await hand.attach(1)
    job = await hand.leased.get()
    await cluster.until(lambda: worker.node in {ref.node for ref in host.find()})
    return hand, job


async def _next_within(host: Bus, seconds: float) -> LeasedJob | None:
    """Have a worker of the host's own ask for jobs; gives what it gets in that time."""
    hand = Hand(host, "host")
    end = host.now() + seconds
    while host.now() < end:
        await hand.attach(1)
        try:
            return await asyncio.wait_for(hand.leased.get(), min(seconds, LEASE / 3))
        except TimeoutError:
            continue
    return None


@pytest.mark.parametrize("death", ["goodbye", "exit", "ended"])
def test_a_certain_death_gives_the_job_to_the_next_at_once(death: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        host, other = await cluster.join("host", "other")
        hand, job = await _leased(cluster, host, other)
        if death == "goodbye":
            await other.close()
        elif death == "exit":
            cluster.network.cut("other")
            host.certify_exit("other")
        else:
            await hand.ref.stop()
        again = await _next_within(host, 2)
        assert again is not None
        assert (again.id, again.attempt, again.token != job.token) == (job.id, 2, True)
        assert (await host.queue("tasks").stats()).redelivered == 1

    simulate(scenario)


def test_silence_gives_it_to_nobody_before_the_lease_ends() -> None:
    async def scenario(cluster: Cluster) -> None:
        host, other = await cluster.join("host", "other")
        _hand, job = await _leased(cluster, host, other)
        began = cluster.loop.time()
        with cluster.network.refusing("other"):
            cluster.network.cut("other")
            again = await _next_within(host, 100)
        assert again is not None
        assert again.id == job.id
        assert LEASE - 1 <= cluster.loop.time() - began <= LEASE + 1

    simulate(scenario)


def test_a_worker_that_was_silent_for_too_long_cannot_ack_what_somebody_else_has() -> None:
    async def scenario(cluster: Cluster) -> None:
        host, other = await cluster.join("host", "other")
        hand, job = await _leased(cluster, host, other)
        await virtual_sleep(LEASE + 1)
        again = await _next_within(host, 2)
        assert again is not None
        assert (await hand.ack(job, 1)).refused == (job.token,)
        assert hand.revoked == [job.token]
        assert (await hand.attach(1, holding=(job.token,))).lost == (job.token,)

    simulate(scenario)


def test_a_new_session_of_a_worker_ends_what_the_last_one_had() -> None:
    async def scenario(cluster: Cluster) -> None:
        host, other = await cluster.join("host", "other")
        hand, job = await _leased(cluster, host, other)
        hand.session = "two"
        await hand.attach(1)
        again = await hand.leased.get()
        assert (again.id, again.attempt) == (job.id, 2)
        await other.close()
        third = await _next_within(host, 2)
        assert third is not None, "its second life is watched, too"

    simulate(scenario)


def test_a_worker_whose_node_goes_on_as_a_new_life_keeps_its_job() -> None:
    async def scenario(cluster: Cluster) -> None:
        host, other, _third = await cluster.join("host", "other", "third")
        hand, job = await _leased(cluster, host, other)
        with cluster.network.refusing("other"):
            with cluster.network.refusing("host"):  # so it is the third that takes the other one for dead
                cluster.network.cut("host")
                cluster.network.cut("other")
                await virtual_sleep(22)
            await cluster.until(lambda: len(cluster.seen("host", BusConnected)) == 2, within=40)
        await cluster.until(lambda: bool(cluster.seen("other", NodeReborn)), within=40)
        assert [dead.reason for dead in cluster.seen("host", NodeDead)] == [DeathReason.REPLACED]
        assert await _next_within(host, 5) is None
        assert (await hand.ack(job, 2)).refused == ()

    simulate(scenario)


def test_a_new_process_of_its_node_gives_the_job_to_the_next_at_once() -> None:
    async def scenario(cluster: Cluster) -> None:
        host, other = await cluster.join("host", "other")
        _hand, job = await _leased(cluster, host, other)
        with cluster.network.refusing("other"):
            cluster.network.cut("other")
            await cluster.until(lambda: "other" in _suspects(cluster), within=5)
            cluster.make("other", client="other again").start().quiet()
            again = await _next_within(host, 5)
        assert again is not None
        assert (again.id, again.attempt) == (job.id, 2)

    simulate(scenario)


def _suspects(cluster: Cluster) -> set[str]:
    return {event.node for event in cluster.seen("host", NodeSuspect)}


def test_leases_stand_still_while_the_host_is_cut_off() -> None:
    async def scenario(cluster: Cluster) -> None:
        host, other = await cluster.join("host", "other")
        hand, job = await _leased(cluster, host, other)
        with cluster.network.refusing("host"):
            cluster.network.cut("host")
            await virtual_sleep(3 * LEASE)
            assert (await host.queue("tasks").stats()).redelivered == 0
        await cluster.until(lambda: "host" in {ref.node for ref in other.find()})
        await virtual_sleep(LEASE - 10)
        assert (await hand.ack(job, 2)).refused == ()

    simulate(scenario)
