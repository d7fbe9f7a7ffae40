"""Looking at a queue, and what people are told who ask for what can't be."""

from __future__ import annotations

from typing import Any

import pytest

from agentbus import (
    Bus,
    JobStatus,
    NoSuchJobStateError,
    QueueOptions,
    ScheduleError,
    SchedulesHeldUp,
    group,
)
from agentbus.agents.failures import Failure
from agentbus.agents.queues.messages import Settlement
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.queues.workers import Hand, Note, serve


async def _hosted(cluster: Cluster, **options: Any) -> Bus:
    (bus,) = await cluster.join("one")
    await bus.queue("tasks", store="memory://", options=QueueOptions(**options)).ready
    return bus


def test_a_page_is_iterated_and_counted_and_begins_the_next() -> None:
    async def scenario(cluster: Cluster) -> None:
        queue = (await _hosted(cluster)).queue("tasks")
        refs = await queue.put_many([Note(str(number)) for number in range(5)])
        page = await queue.jobs(limit=3)
        rest = await queue.jobs(limit=3, after=page.after)
        assert (len(page), len(rest), rest.after) == (3, 2, "")
        seen: list[JobStatus] = [*page, *rest]
        assert [each.id for each in seen] == [ref.id for ref in refs]

    simulate(scenario)


def test_a_state_that_no_job_is_ever_in_is_refused_with_those_that_there_are() -> None:
    async def scenario(cluster: Cluster) -> None:
        queue = (await _hosted(cluster)).queue("tasks")
        with pytest.raises(NoSuchJobStateError) as caught:
            queue.jobs("typo-state")
        assert caught.value.state == "typo-state"
        for state in caught.value.states:
            assert list(await queue.jobs(state)) == []
        assert "'typo-state'; the states are queued, delayed," in str(caught.value)

    simulate(scenario)


def test_retry_counts_a_flow_once_and_cancel_and_drop_count_its_steps_too() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster, max_attempts=1)
        queue, hand = bus.queue("tasks"), Hand(bus, "one")
        flow = await queue.put(group(Note("a"), Note("b")))
        await hand.attach(2)
        for leased in [await hand.leased.get() for _ in range(2)]:
            await hand.settle(Settlement(leased.token, "fail", failure=Failure("ValueError", "no")))
        assert (await flow.status()).state == "failed"
        assert await queue.retry() == 1
        assert (await flow.status()).state == "waiting"
        assert await queue.cancel([flow.id]) == 3
        assert await queue.drop([flow.id]) == 3, "the flow and its two steps"

    simulate(scenario)


def test_seconds_that_make_no_sense_are_refused_where_they_are_said() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster)
        for every in (0, -5, 0.01, float("nan")):
            with pytest.raises(ScheduleError, match=r"every= is 0\.1 seconds or more, not "):
                bus.schedule("tasks", Note("x"), name="s", every=every)
        with pytest.raises(ScheduleError, match="cron= or every=, one of the two"):
            bus.schedule("tasks", Note("x"), name="s")
        with pytest.raises(ScheduleError, match="cron= or every=, one of the two"):
            bus.schedule("tasks", Note("x"), name="s", every=5, cron="* * * * *")

    simulate(scenario)


def test_a_queue_that_is_too_full_for_its_schedules_says_so_once_and_in_its_stats() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster, max_jobs=1)
        queue = bus.queue("tasks")
        await queue.put(Note("a"))
        await bus.schedule("tasks", Note("tick"), name="ticks", every=10)
        assert (await queue.stats()).state == "ok"
        await virtual_sleep(35)
        (event,) = cluster.seen("one", SchedulesHeldUp)
        assert (event.queue, event.schedules) == ("tasks", ("ticks",))
        assert "it holds 1 jobs at most and is full" in event.reason
        assert (await queue.stats()).state == "too full for its schedules: ticks"
        await serve(Hand(bus, "one"), lambda _message: None, 2)
        await virtual_sleep(1)
        assert (await queue.stats()).state == "ok"

    simulate(scenario)
