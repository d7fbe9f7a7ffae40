"""Queues as programs use them: from tasks, threads and handlers; results, streams, flows, deadlines."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentbus import (
    AsyncAgentActor,
    Budget,
    Bus,
    Request,
    chain,
    handles,
    map_jobs,
)
from agentbus.agents.failures import describe
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.messages import Settlement
from agentbus.errors import (
    AskTimeoutError,
    BudgetExhausted,
    FutureCancelledError,
    JobCancelled,
    JobFailed,
    JobRejected,
    NoSuchJobError,
    QueueFullError,
    ResultsLostError,
)
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.queues.faulty_store import FaultyStore, state_of
from tests.agents.queues.workers import Answer, Double, Hand, Note, Question, as_value, serve


async def _hosted(cluster: Cluster, **options: Any) -> Bus:
    (bus,) = await cluster.join("one")
    await bus.queue("tasks", store="memory://", options=QueueOptions(**options)).ready
    return bus


# -- results -------------------------------------------------------------------------------------------------


def test_a_result_comes_as_the_type_that_the_message_promises_and_by_id_as_what_it_is() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster)
        queue = bus.queue("tasks")
        ref = await queue.put(Question("why"))
        await serve(Hand(bus, "one"), lambda _message: Answer("so"), 1)
        assert await ref.result() == Answer("so")
        again = queue.job(ref.id)
        assert (again == ref, await again.result()) == (True, Answer("so"))
        outcome = await again.outcome()
        assert (outcome.job_id, outcome.value, outcome.error, outcome.attempts) == (
            ref.id,
            Answer("so"),
            None,
            1,
        )

    simulate(scenario)


def test_jobs_that_give_nothing_say_why() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster, max_attempts=1)
        queue, hand = bus.queue("tasks"), Hand(bus, "one")
        refs = await queue.put_many([Double(1), Double(2), Double(3)])
        await hand.attach(3)
        failed, rejected, _running = [await hand.leased.get() for _ in range(3)]
        await hand.settle(
            Settlement(failed.token, "fail", failure=describe(ValueError("no number")), traceback="line 1"),
            Settlement(rejected.token, "reject", failure=describe(ValueError("no such customer"))),
        )
        assert await refs[2].cancel()
        with pytest.raises(JobFailed, match="no number") as failure:
            await refs[0].result()
        assert (failure.value.attempts, failure.value.job_id, failure.value.queue) == (1, refs[0].id, "tasks")
        with pytest.raises(JobRejected, match="no such customer"):
            await refs[1].result()
        with pytest.raises(JobCancelled):
            await refs[2].result()
        with pytest.raises(NoSuchJobError):
            await queue.job("nobody").result()
        dead = await queue.dead_letters()
        assert [(each.id, each.state, each.traceback) for each in dead] == [
            (refs[0].id, "failed", "line 1"),
            (refs[1].id, "rejected", ""),
        ]
        assert await queue.retry([]) == await queue.drop([]) == await queue.retry(["nobody"]) == 0
        assert await queue.retry([refs[0].id]) == 1
        assert (await refs[0].status()).state == "leased"

    simulate(scenario)


def test_thousands_wait_for_results_while_the_host_goes_on_with_its_work() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster)
        queue, hand = bus.queue("tasks"), Hand(bus, "one")
        refs = await queue.put_many([Double(number) for number in range(3000)])
        results = [ref.result() for ref in refs]
        await hand.attach(3000)
        jobs = [await hand.leased.get() for _ in refs]
        await hand.settle(*(Settlement(each.token, "ack", as_value(7)) for each in jobs[:-1]))
        for result in results[:-1]:
            assert await result == 7
        assert state_of(results[-1]) == "waiting"
        given_up = refs[-1].result(timeout=5)
        with pytest.raises(AskTimeoutError):
            await given_up

    simulate(scenario)


def test_a_stream_of_results_has_each_end_and_goes_on_after_a_restart_of_the_host() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        store = FaultyStore()
        host = one.queue("tasks", store=store)
        queue, hand = two.queue("tasks"), Hand(two, "one")
        async with queue.results() as results:
            refs = await queue.put_many([Question("a"), Question("b")])
            await serve(hand, lambda message: Answer(message.text), 2)
            ends = [await anext(results) for _ in refs]
            assert [(end.job_id, end.value) for end in ends] == [
                (refs[0].id, Answer("a")),
                (refs[1].id, Answer("b")),
            ]
            waiting = asyncio.ensure_future(anext(results))
            await virtual_sleep(1)
            await host.close()
            await one.queue("tasks", store=store).ready
            await virtual_sleep(1)
            ref = await queue.put(Question("c"))
            await serve(hand, lambda message: Answer(message.text), 1)
            assert (await waiting).job_id == ref.id
        assert [end async for end in results] == []

    simulate(scenario)


def test_a_reader_that_falls_too_far_behind_is_told_so() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster)
        queue = bus.queue("tasks")
        results = queue.results()
        await virtual_sleep(1)
        for _ in range(11):
            refs = await queue.put_many([Double(number) for number in range(1000)])
            await queue.cancel([ref.id for ref in refs])
        with pytest.raises(ResultsLostError):
            await _read_all(results)

    simulate(scenario)


async def _read_all(results: AsyncIterator[Any]) -> None:
    async for _end in results:
        pass


def test_who_tails_a_queue_sees_what_becomes_of_its_jobs() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster)
        queue = bus.queue("tasks")
        tail = queue.tail()
        await virtual_sleep(1)
        ref = await queue.put(Double(1))
        await serve(Hand(bus, "one"), lambda _message: 2, 1)
        seen = [await anext(tail) for _ in range(3)]
        assert [(each.id, each.state) for each in seen] == [
            (ref.id, "queued"),
            (ref.id, "leased"),
            (ref.id, "done"),
        ]

    simulate(scenario)


def test_who_tails_a_queue_goes_on_when_another_one_has_enough() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster)
        queue = bus.queue("tasks")
        first, second = queue.tail(), queue.tail()
        await virtual_sleep(1)
        first.close()
        await virtual_sleep(1)
        ref = await queue.put(Double(1))
        async with asyncio.timeout(10):
            assert (await anext(second)).id == ref.id

    simulate(scenario)


# -- putting -------------------------------------------------------------------------------------------------


def test_a_put_that_does_not_fit_fails_alone() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster, max_jobs=10)
        queue = bus.queue("tasks")
        small = [queue.put(Double(number)) for number in range(5)]
        large = queue.put_many([Double(number) for number in range(6)])
        later = queue.put(Double(5))
        with pytest.raises(QueueFullError) as caught:
            await large
        assert (caught.value.what, caught.value.cap) == ("jobs", 10)
        assert len({(await put).id for put in [*small, later]}) == 6

    simulate(scenario)


def test_what_waits_for_a_host_is_bounded() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        queue = bus.queue("tasks")
        puts = [queue.put_many([Note("x")] * 10_000) for _ in range(10)]
        with pytest.raises(QueueFullError, match="wait to be put"):
            await queue.put(Note("one more"))
        puts.pop().cancel()
        kept = queue.put(Note("one more"))
        await bus.queue("tasks", store="memory://").ready
        for put in puts:
            assert len(await put) == 10_000
        assert (await kept).id
        assert (await queue.stats()).queued == 90_001

    simulate(scenario)


def test_a_unique_job_is_put_once_and_both_get_its_ref() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster)
        queue = bus.queue("tasks")
        first, second = queue.put(Note("a"), unique="report"), queue.put(Note("b"), unique="report")
        assert await first == await second

    simulate(scenario)


class Order(Request[str], wire_name="queue_tests.Order"):
    pass


class Clerk(AsyncAgentActor):
    """Puts a job in its handler, with a budget, and waits for its result."""

    @handles(raises=(AskTimeoutError, BudgetExhausted))
    async def order(self, _order: Order) -> str:
        ref = await self.bus.queue("tasks").put(Note("from a handler"), budget=Budget(tokens=60))
        await ref.result()
        return ref.id


def test_a_put_stays_though_its_handler_is_cancelled_and_the_wait_for_its_result_does_not() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster)
        clerk = bus.spawn(Clerk)
        asked = clerk.ask(Order())
        await virtual_sleep(1)
        asked.cancel()
        with pytest.raises(FutureCancelledError):
            await asked
        hand = Hand(bus, "one")
        await hand.attach(1)
        assert (await hand.leased.get()).type == Note.__wire_name__
        late = clerk.ask(Order(), timeout=3)
        with pytest.raises(AskTimeoutError):
            await late

    simulate(scenario)


def test_a_job_s_budget_comes_out_of_that_of_the_handler_that_puts_it() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await _hosted(cluster)
        clerk, hand = bus.spawn(Clerk), Hand(bus, "one")
        asked = clerk.ask(Order(), budget=Budget(tokens=100))
        await hand.attach(1)
        leased = await hand.leased.get()
        assert leased.budget is not None
        assert leased.budget.tokens == 60
        await hand.ack(leased)
        assert await asked == leased.id
        with pytest.raises(BudgetExhausted):
            await clerk.ask(Order(), budget=Budget(tokens=50))

    simulate(scenario)


def test_options_that_make_no_sense_are_refused_at_once() -> None:
    async def scenario(cluster: Cluster) -> None:
        queue = (await _hosted(cluster)).queue("tasks")
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"delay": -1}, "seconds from now"),
            ({"max_attempts": 0}, "at least one attempt"),
            ({"soft_timeout": 0}, "more than 0 seconds"),
        ]
        for options, problem in wrong:
            with pytest.raises(ValueError, match=problem):
                queue.put(Note("x"), **options)
        kinds: list[dict[str, Any]] = [
            {"priority": "high"},
            {"delay": "5"},
            {"unique": 7},
            {"max_attempts": True},
        ]
        for options in kinds:
            (name,) = options
            with pytest.raises(TypeError, match=f"{name}= of a job is .*, not {options[name]!r}"):
                queue.put(Note("x"), **options)
        with pytest.raises(TypeError):
            queue.put(Note("x"), no_such_option=1)
        nothing: Any = "text"
        with pytest.raises(TypeError):
            queue.put(nothing)
        with pytest.raises(ValueError, match="at least one step"):
            chain()
        with pytest.raises(ValueError, match="at a time"):
            map_jobs([Note("x")], window=0)

    simulate(scenario)


# -- threads -------------------------------------------------------------------------------------------------


def test_threads_put_and_wait_as_tasks_do() -> None:
    with Bus() as bus:
        queue = bus.queue("tasks", store="memory://")
        results = queue.results()
        refs: list[Any] = []
        threads = [
            threading.Thread(
                target=lambda: refs.extend(queue.put(Note("x")).get(timeout=10) for _ in range(20))
            )
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        assert len({ref.id for ref in refs}) == 60
        assert queue.stats().get(timeout=5).queued == 60
        assert queue.cancel([ref.id for ref in refs]).get(timeout=5) == 60
        assert {results.get(timeout=5).job_id for _ in refs} == {ref.id for ref in refs}
        with pytest.raises(JobCancelled):
            refs[0].result().get(timeout=5)
        results.close()
        assert list(results) == []
