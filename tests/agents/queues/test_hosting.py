"""A queue from end to end: hosted on one node, used from any."""

from __future__ import annotations

from tests.agents.cluster import Cluster, simulate
from tests.agents.queues.workers import Answer, Double, Hand, Question, serve


def test_a_job_goes_from_a_handle_through_a_worker_to_its_result() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        queue = bus.queue("tasks", store="memory://")
        await queue.ready
        hand = Hand(bus, "one")
        ref = await queue.put(Double(21))
        await serve(hand, lambda message: 2 * message.number, 1)
        assert await ref.result() == 42

    simulate(scenario)


def test_another_node_puts_and_waits_before_there_is_a_host() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        put = two.queue("tasks").put(Question("why"))
        queue = one.queue("tasks", store="memory://")
        await queue.ready
        ref = await put
        hand = Hand(two, "one")
        await serve(hand, lambda message: Answer(f"{message.text}? because"), 1)
        assert await ref.result() == Answer("why? because")

    simulate(scenario)
