"""Workers and real queues together, on virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentbus.agents.agent import AsyncAgentActor
from agentbus.agents.budgets import Budget
from agentbus.agents.bus import Bus
from agentbus.agents.handlers import handles
from agentbus.agents.message import Message, Request
from agentbus.agents.queues.handle import Queue
from agentbus.agents.queues.worker_events import JobLeaseLost
from agentbus.errors import JobCancelled, JobFailed
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.queues.worker_agents import Charge, Child, Double, Hold, Nap, Trouble, Worker

CRASHES = 200
TOGETHER = 20


class Pay(Message, wire_name="queues.Pay"):
    """Enter a payment into a ledger, as an effect or just so; the first attempt never ends after that."""

    number: int
    recorded: bool


class Payer(AsyncAgentActor):
    def __init__(self, recorded: list[int], plain: list[int]) -> None:
        self.recorded = recorded
        self.plain = plain

    @handles
    async def pay(self, message: Pay) -> None:
        if message.recorded:
            await self.once("pay", self.recorded.append, message.number)
        else:
            self.plain.append(message.number)
        if self.job.attempt == 1:
            await asyncio.Event().wait()


class Spend(Request[int], wire_name="queues.Spend"):
    tokens: int
    hang: bool = False


class Spender(AsyncAgentActor):
    @handles
    async def spend(self, message: Spend) -> int | None:
        self.budget.spend(tokens=message.tokens)
        if message.hang and self.job.attempt == 1:
            await asyncio.Event().wait()
        if self.job.attempt == 1:
            raise ValueError("the first attempt fails, and has cost what it has cost")
        return self.budget.left.tokens


async def scene(cluster: Cluster, **options: Any) -> tuple[Queue, Bus, list[str]]:
    here, there = await cluster.join("here", "there")
    queue = here.queue("q", store="memory://")
    await queue.ready
    log = list[str]()
    there.spawn(Worker, log, queue="q", name="w", **options)
    return queue, there, log


def test_a_job_goes_from_a_handle_through_a_worker_to_its_result() -> None:
    async def scenario(cluster: Cluster) -> None:
        queue, _there, _log = await scene(cluster, concurrency=4)
        jobs = await queue.put_many([Double(number) for number in range(20)])
        assert [await job.result() for job in jobs] == [2 * number for number in range(20)]
        stats = await queue.stats()
        assert (stats.put, stats.acked, stats.refused, stats.redelivered) == (20, 20, 0, 0)

    simulate(scenario)


def test_a_job_that_fails_too_often_is_a_dead_letter_with_its_traceback() -> None:
    async def scenario(cluster: Cluster) -> None:
        queue, _there, _log = await scene(cluster)
        job = await queue.put(Trouble(), max_attempts=3)
        with pytest.raises(JobFailed, match="broken"):
            await job.result()
        status = await job.status()
        assert (status.state, status.attempts) == ("failed", 3)
        assert "in trouble" in status.traceback

    simulate(scenario)


def test_a_running_job_that_is_cancelled_stops_where_it_runs() -> None:
    async def scenario(cluster: Cluster) -> None:
        queue, _there, log = await scene(cluster)
        job = await queue.put(Hold())
        await virtual_sleep(1.0)
        assert await job.cancel()
        with pytest.raises(JobCancelled):
            await job.result()
        await cluster.until(lambda: log == ["cancelled"])
        await virtual_sleep(1.0)
        assert (await queue.stats()).refused == 0
        assert not cluster.seen("there", JobLeaseLost)
        assert await (await queue.put(Double(1))).result() == 2

    simulate(scenario)


def test_progress_is_seen_within_two_seconds() -> None:
    async def scenario(cluster: Cluster) -> None:
        queue, _there, _log = await scene(cluster)
        job = await queue.put(Nap(30.0, marks=True))
        await virtual_sleep(3.5)
        assert (await job.status()).note == "napping"

    simulate(scenario)


def test_a_job_that_a_handler_puts_is_there_once_the_handlers_job_is_done() -> None:
    async def scenario(cluster: Cluster) -> None:
        queue, _there, log = await scene(cluster)
        job = await queue.put(Child())
        await job.result()
        await cluster.until(lambda: f"{job.id}.1 1 {job.id}.1" in log)

    simulate(scenario)


def test_attempts_of_a_job_share_its_budget() -> None:
    async def scenario(cluster: Cluster) -> None:
        queue, there, _log = await scene(cluster)
        there.spawn(Spender, queue="money", name="s")
        money = there.queue("money", store="memory://")
        job = await money.put(Spend(30), budget=Budget(tokens=100))
        assert await job.result() == 40
        del queue

    simulate(scenario)


def test_what_a_worker_has_said_of_an_attempts_spending_counts_when_it_dies() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("here", "there")
        money = here.queue("money", store="memory://")
        await money.ready
        there.spawn(Spender, queue="money", name="s")
        job = await money.put(Spend(30, hang=True), budget=Budget(tokens=100))
        await virtual_sleep(25.0)  # more than a third of a lease
        cluster.network.cut("there")
        here.certify_exit("there")
        here.spawn(Spender, queue="money", name="s")
        assert await job.result() == 40

    simulate(scenario)


def test_a_drain_of_a_bus_with_queue_and_worker_lets_the_job_end_and_its_end_be_told() -> None:
    async def scenario(cluster: Cluster) -> None:
        (both,) = await cluster.join("both")
        queue = both.queue("q", store="memory://")
        both.spawn(Worker, queue="q", name="w")
        job = await queue.put(Nap(5.0))
        await virtual_sleep(1.0)
        result = job.result()
        assert await both.drain(20.0)
        assert await result == "slept"

    simulate(scenario)


def test_effects_of_a_crashed_attempt_are_known_to_the_next() -> None:
    async def scenario(cluster: Cluster) -> None:
        queue, _there, log = await scene(cluster)
        job = await queue.put(Charge(crash="after"), max_attempts=2)
        with pytest.raises(JobFailed):
            await job.result()
        assert log == ["charged"]

    simulate(scenario)


def test_two_hundred_crashes_between_effect_and_ack_repeat_no_effect() -> None:
    async def scenario(cluster: Cluster) -> None:
        (here,) = await cluster.join("here")
        queue = here.queue("q", store="memory://")
        await queue.ready
        recorded, plain = list[int](), list[int]()
        jobs = list[Any]()
        for life in range(CRASHES // TOGETHER):
            (bus,) = await cluster.join(f"worker-{life}")
            numbers = range(life * TOGETHER, (life + 1) * TOGETHER)
            jobs += await queue.put_many([Pay(number, recorded=True) for number in numbers])
            jobs += await queue.put_many([Pay(number, recorded=False) for number in numbers])
            bus.spawn(Payer, recorded, plain, queue="q", concurrency=10 * TOGETHER, name="w")
            await cluster.until(lambda last=numbers[-1]: last in recorded and last in plain)
            await virtual_sleep(1.0)
            with cluster.network.partition(bus.node):
                here.certify_exit(bus.node)
                await virtual_sleep(20.0)
                await bus.close()
        (last,) = await cluster.join("last")
        last.spawn(Payer, recorded, plain, queue="q", concurrency=TOGETHER, name="w")
        for job in jobs:
            await job.result()
        assert sorted(recorded) == list(range(CRASHES)), "each once"
        assert sorted(plain) == sorted([*range(CRASHES), *range(CRASHES)]), "the control: each again"
        stats = await queue.stats()
        assert (stats.redelivered, stats.acked) == (2 * CRASHES, 2 * CRASHES)

    simulate(scenario)


class Unreadable(Message, wire_name="queues.Unreadable"):
    """Fail with the name of a file that is no UTF-8, as the file system's functions give it."""


class Reader(AsyncAgentActor):
    @handles
    async def read(self, _message: Unreadable) -> None:
        raise FileNotFoundError("no such file: \udcff.txt")


def test_a_failure_whose_text_is_no_unicode_is_its_job_s_and_harms_no_queue() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        queue = bus.queue("tasks", store="memory://")
        await queue.ready
        bus.spawn(Reader, queue="tasks")
        ref = await queue.put(Unreadable(), max_attempts=1)
        with pytest.raises(JobFailed, match="no such file"):
            await ref.result(timeout=30)
        assert (await queue.stats()).epoch == 1

    simulate(scenario)
