"""The stream of results goes on over a change of hosts without a loss, or says that there is one."""

from __future__ import annotations

import asyncio

import pytest

from agentbus import Bus
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.handle import Queue
from agentbus.errors import QueueTakenError, ResultsLostError
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.queues.faulty_store import FaultyStore
from tests.agents.queues.workers import Double, Hand, serve


async def _done(queue: Queue, bus: Bus, host: str, *numbers: int) -> None:
    """Put jobs and have them done."""
    refs = await queue.put_many([Double(number) for number in numbers])
    hand = Hand(bus, host)
    await serve(hand, lambda message: message.number, len(numbers))
    for ref in refs:
        await ref.result()
    await hand.attach(0)


def test_a_reader_goes_on_with_what_ended_while_it_had_no_host() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        store = FaultyStore()
        first = one.queue("tasks", store=store)
        await first.ready
        results = two.queue("tasks").results()
        await virtual_sleep(1)
        await _done(first, one, "one", 1, 2, 3)
        assert [(await anext(results)).value for _ in range(2)] == [1, 2]
        with cluster.network.refusing("two"):
            cluster.network.cut("two")
            await _done(first, one, "one", 4, 5)
            await first.close()
            again = one.queue("tasks", store=store)
            await again.ready
            await _done(again, one, "one", 6)
        await virtual_sleep(60)
        await _done(again, one, "one", 7)
        assert [(await anext(results)).value for _ in range(5)] == [3, 4, 5, 6, 7]

    simulate(scenario)


def test_a_reader_that_has_got_nothing_yet_goes_on_from_where_it_began() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        queue = bus.queue("tasks", store=store)
        await _done(queue, bus, "one", 1)
        waiting = asyncio.ensure_future(anext(queue.results()))
        await virtual_sleep(1)
        await queue.close()
        again = bus.queue("tasks", store=store)
        await _done(again, bus, "one", 2)
        assert (await waiting).value == 2

    simulate(scenario)


def test_a_reader_is_told_when_results_were_forgotten_that_it_has_not_got() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        options = QueueOptions(max_results=2)
        queue = bus.queue("tasks", store=store, options=options)
        await queue.ready
        results = queue.results()
        await virtual_sleep(1)
        await _done(queue, bus, "one", 1)
        assert (await anext(results)).value == 1
        await queue.close()
        away = bus.queue("tasks", store=store, options=options)
        await _done(away, bus, "one", 2, 3, 4, 5)
        await virtual_sleep(120)
        await away.close()
        await bus.queue("tasks", store=store, options=options).ready
        with pytest.raises(ResultsLostError) as caught:
            await anext(results)
        assert caught.value.cap == 2
        assert not isinstance(caught.value, QueueTakenError)

    simulate(scenario)


def test_ends_of_one_moment_have_each_a_time_of_its_own_and_a_large_gap_is_read_page_by_page() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        queue = bus.queue("tasks", store=store)
        await queue.ready
        results = queue.results()
        await virtual_sleep(1)
        await _done(queue, bus, "one", 0)
        assert (await anext(results)).value == 0
        await queue.close()
        again = bus.queue("tasks", store=store)
        await again.put_many([Double(number) for number in range(1, 251)])
        hand = Hand(bus, "one")
        await hand.attach(250)
        jobs = [await hand.leased.get() for _ in range(250)]
        for job in jobs:
            await hand.ack(job, job.id)
        assert [(await anext(results)).value for _ in range(250)] == [job.id for job in jobs]

    simulate(scenario)
