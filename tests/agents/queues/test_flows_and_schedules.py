"""Flows and schedules, as programs put them."""

from __future__ import annotations

import pytest

from agentbus import Bus, Message, chain, group, job, map_jobs
from agentbus.errors import ScheduleError
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.queues.faulty_store import FaultyStore
from tests.agents.queues.workers import Answer, Double, Hand, Note, Question


async def _hosted(cluster: Cluster) -> Bus:
    (bus,) = await cluster.join("one")
    await bus.queue("tasks", store="memory://").ready
    return bus


# -- flows ---------------------------------------------------------------------------------------------------


def test_a_chain_hands_each_value_on_and_gives_the_last() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster)
        queue, hand = bus.queue("tasks"), Hand(bus, "one")
        ref = await queue.put(chain(Double(1), Double(2), job(Question("end"), max_attempts=1)))
        await hand.attach(5)
        for expected in ((), (b"10",), (b"11",)):
            leased = await hand.leased.get()
            assert tuple(bytes(value.body) for value in leased.inputs) == expected
            value: Message | int = (
                Answer("over") if leased.type == Question.__wire_name__ else 10 + len(expected)
            )
            await hand.ack(leased, value)
        assert await ref.result() == Answer("over")

    simulate(scenario)


def test_a_group_gives_the_list_and_a_map_keeps_its_window() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster)
        queue, hand = bus.queue("tasks"), Hand(bus, "one")
        await hand.attach(100)
        together = await queue.put(group(*(Double(number) for number in range(3))))
        jobs = [await hand.leased.get() for _ in range(3)]
        for number, leased in reversed(list(enumerate(jobs))):
            await hand.ack(leased, number)
        assert await together.result() == [0, 1, 2]

        mapped = await queue.put(map_jobs((Double(number) for number in range(5)), window=2))
        given = 0
        while given < 5:
            await virtual_sleep(1)
            assert hand.leased.qsize() == min(2, 5 - given)
            await hand.ack(await hand.leased.get(), given)
            given += 1
        assert sorted(await mapped.result()) == [0, 1, 2, 3, 4]

    simulate(scenario)


# -- schedules -----------------------------------------------------------------------------------------------


def test_a_schedule_is_kept_with_the_queue_and_each_tick_is_put_once_whoever_says_it() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        store = FaultyStore()
        queue = one.queue("tasks", store=store)
        for bus in (one, two):
            status = await bus.schedule("tasks", Note("hello"), name="greet", every=60, priority=3)
            assert 0 < status.next_in <= 60
        await virtual_sleep(150)
        await queue.close()
        again = one.queue("tasks", store=store)
        await virtual_sleep(60)
        listed = await again.schedules()
        assert [(each.schedule.name, each.schedule.job.priority) for each in listed] == [("greet", 3)]
        jobs = (await again.jobs()).jobs
        assert len(jobs) == len({job.id for job in jobs}) >= 3
        assert all(each.id.startswith("greet@2025-01-01T00:0") for each in jobs)
        assert await again.drop_schedule("greet")
        assert not await again.drop_schedule("greet")
        with pytest.raises(ScheduleError):
            await two.schedule("tasks", Note("x"), name="wrong", cron="no cron")

    simulate(scenario)
