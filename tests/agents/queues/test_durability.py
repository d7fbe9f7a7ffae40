"""Nothing is answered, leased or told before it is durable, also while a store can't be written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.messages import Settlement
from agentbus.errors import JobCancelled, StoreError
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.queues.faulty_store import FaultyStore, state_of
from tests.agents.queues.workers import Double, Hand, as_value


def test_nothing_is_answered_leased_or_told_before_it_is_durable() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        queue = bus.queue("tasks", store=store)
        hand = Hand(bus, "one")
        await queue.ready
        await hand.attach(1)
        results = queue.results()

        store.hold()
        put = queue.put(Double(1))
        await virtual_sleep(5)
        assert (state_of(put), hand.leased.qsize(), store.held) == ("waiting", 0, 1)
        store.release()
        ref, job = await put, await hand.leased.get()

        store.hold()
        result, ack = ref.result(), asyncio.ensure_future(hand.ack(job, 2))
        await virtual_sleep(5)
        assert (state_of(result), ack.done(), store.held) == ("waiting", False, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(results), 1)
        late = ref.result()
        await virtual_sleep(5)
        assert state_of(late) == "waiting", "an end that the core knows is not durable yet"
        store.release()
        assert (await result, await late, (await ack).refused) == (2, 2, ())

    simulate(scenario)


def test_who_asks_for_the_end_of_a_job_that_is_dropped_meanwhile_is_told_that_it_is_not_known() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        queue = bus.queue("tasks", store=store)
        hand = Hand(bus, "one")
        ref = await queue.put(Double(1))
        await hand.attach(1)
        await hand.ack(await hand.leased.get(), 2)

        store.hold()
        other = queue.put(Double(2))
        await virtual_sleep(1)
        result, body, dropped = ref.result(), ref.body(), queue.drop([ref.id])
        await virtual_sleep(1)
        late = ref.result()
        await virtual_sleep(1)
        assert (state_of(dropped), state_of(late)) == ("waiting", "waiting"), "that is not durable yet"
        store.release()
        assert await dropped == 1
        await other
        await virtual_sleep(1)
        assert {state_of(future) for future in (result, body, late)} == {"NoSuchJobError"}

    simulate(scenario)


def test_jobs_that_are_put_in_one_turn_share_a_commit() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        store = FaultyStore()
        await one.queue("tasks", store=store).ready
        for bus in (one, two):
            queue, before = bus.queue("tasks"), store.written
            await queue.put(Double(0))
            puts = [queue.put(Double(number)) for number in range(500)]
            ids = {(await put).id for put in puts}
            assert (len(ids), store.written - before) == (500, 2)

    simulate(scenario)


def test_with_a_full_disk_puts_fail_at_once_and_what_was_taken_is_written_once_there_is_room() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        queue = bus.queue("tasks", store=store, options=QueueOptions(lease=30))
        hand = Hand(bus, "one")
        first = await queue.put(Double(1))
        await hand.attach(2)
        job = await hand.leased.get()

        store.error = StoreError("disk is full")
        taken = queue.put(Double(2))
        await virtual_sleep(1)
        ack, result = asyncio.ensure_future(hand.ack(job, 2)), first.result()
        await virtual_sleep(1)
        for _ in range(3):
            with pytest.raises(StoreError, match="disk is full"):
                await queue.put(Double(3))
        assert "disk is full" in (await queue.stats()).state
        assert (await queue.jobs()).jobs, "people can look"
        await virtual_sleep(600)
        assert (state_of(taken), state_of(result), ack.done()) == ("waiting", "waiting", False)

        store.error = None
        assert (await result, (await ack).refused) == (2, ())
        second = await hand.leased.get()
        assert second.id == (await taken).id
        stats = await queue.stats()
        assert (stats.state, stats.put, stats.acked, stats.redelivered) == ("ok", 2, 1, 0)

    simulate(scenario)


def test_no_lease_runs_out_while_the_disk_is_full() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        queue = bus.queue("tasks", store=store, options=QueueOptions(lease=30))
        hand = Hand(bus, "one")
        await queue.put_many([Double(1), Double(2)])
        await hand.attach(1)
        job = await hand.leased.get()
        store.error = StoreError("disk is full")
        cancel = queue.cancel(["nobody"])
        other = queue.cancel([job.id])
        await virtual_sleep(100)
        assert (await hand.attach(1, holding=(job.token,))).cancelled == (), "not before it is durable"
        store.error = None
        assert (await cancel, await other) == (0, 1)
        with pytest.raises(JobCancelled):
            await queue.job(job.id).result()
        assert (await queue.stats()).redelivered == 0
        assert hand.revoked == [job.token]

    simulate(scenario)


def test_a_host_that_lost_its_life_between_write_and_answer_is_asked_again_and_puts_nothing_twice() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        store = FaultyStore()
        queue = one.queue("tasks", store=store)
        await queue.ready
        store.hold()
        put = two.queue("tasks").put(Double(1))
        await cluster.until(lambda: store.held == 1)
        closing = queue.close()
        await virtual_sleep(0.1)
        store.release()
        await closing
        assert state_of(put) == "waiting"
        again = one.queue("tasks", store=store)
        ref = await put
        page = await again.jobs()
        assert [job.id for job in page.jobs] == [ref.id]

    simulate(scenario)


def test_a_settlement_that_is_said_again_to_the_next_life_counts_once() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        queue = bus.queue("tasks", store=store)
        hand = Hand(bus, "one")
        ref = await queue.put(Double(1))
        await hand.attach(1)
        job = await hand.leased.get()
        done: list[Any] = [Settlement(job.token, "ack", as_value(2))]
        assert (await hand.settle(*done)).refused == ()
        await queue.close()
        await bus.queue("tasks", store=store).ready
        assert (await hand.settle(*done)).refused == ()
        assert (await hand.settle(Settlement(job.token, "fail"))).refused == (job.token,)
        assert await ref.result() == 2

    simulate(scenario)
