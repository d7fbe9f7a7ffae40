"""Workers whose handlers have threads."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from agentbus.agents.bus import Bus
from agentbus.agents.events import BusEvent
from agentbus.agents.queues.puller_messages import DrainWorker
from agentbus.agents.ref import AgentRef
from agentbus.runtime import EventStream
from tests.agents.queues.fake_queue import Book, host
from tests.agents.queues.worker_agents import Charge, Double, Hold, SyncWorker

WAIT = 30.0


@contextmanager
def working(concurrency: int = 1) -> Generator[tuple[Book, AgentRef, AgentRef, EventStream[BusEvent]]]:
    with Bus() as bus:
        events = bus.events.listen()
        book = Book()
        yield (
            book,
            host(bus, book),
            bus.spawn(SyncWorker, queue="q", concurrency=concurrency, name="w"),
            events,
        )


def test_a_thread_records_its_effects_and_waits_until_they_are_durable() -> None:
    with working() as (book, queue, _worker, _events):
        token = book.add(Charge())
        queue.steer(None)
        assert book.news.get(timeout=WAIT).token == token
        assert book.value(token) == {"receipt": 7}
        recorded = book.effects[token]
        assert [each.done for each in recorded] == [False, True]
        again = book.add(Charge(), attempt=2, effects=tuple(recorded[1:]))
        queue.steer(None)
        assert book.news.get(timeout=WAIT).token == again
        assert book.value(again) == {"receipt": 7}
        assert again not in book.effects


def test_what_a_handler_gives_after_it_has_seen_its_cancelling_does_not_count() -> None:
    with working() as (book, queue, worker, _events):
        held = book.add(Hold())
        queue.steer(None).get(timeout=WAIT)
        assert worker.ask(DrainWorker(0.0)).get(timeout=WAIT) is False
        assert book.outcomes == [(held, "release")]


def test_as_many_threads_work_as_jobs_are_taken() -> None:
    with working(concurrency=3) as (book, queue, _worker, _events):
        tokens = [book.add(Hold()), book.add(Hold()), book.add(Double(5))]
        queue.steer(None)
        assert book.news.get(timeout=WAIT).token == tokens[2]
        assert set(book.leased) == set(tokens[:2])
