"""Workers on virtual time, with a host that does what the test says."""

from __future__ import annotations

from tests.agents.cluster import Cluster, simulate
from tests.agents.queues.fake_queue import Book, host
from tests.agents.queues.workers import Double, Worker


def test_a_worker_takes_jobs_and_acks_them_with_their_values() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("here", "there")
        book, log = Book(), list[str]()
        host(here, book)
        tokens = [book.add(Double(number)) for number in range(5)]
        there.spawn(Worker, log, queue="q", concurrency=2)
        await cluster.until(lambda: len(book.settled) == 5)
        assert book.outcomes == [(token, "ack") for token in tokens]
        assert [book.value(token) for token in tokens] == [0, 2, 4, 6, 8]
        assert log[0] == "job-1 1 key-1"
        assert book.attached[0].capacity == 2

    simulate(scenario)
