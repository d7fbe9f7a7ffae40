"""Workers in processes of their own: real processes, kept few."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from agentbus.agents.bus import Bus
from agentbus.agents.events import AgentFailure, BusEvent
from agentbus.agents.ref import AgentRef
from agentbus.runtime import EventStream, RestartMode, RestartPolicy
from tests.agents.queues.fake_queue import Book, host
from tests.agents.queues.process_workers import (
    Careful,
    Endless,
    ProcessWorker,
    Suicide,
    WhoAmI,
    Wrong,
)

WAIT = 30.0
pytestmark = pytest.mark.e2e


class Scene:
    def __init__(self, bus: Bus, book: Book, queue: AgentRef, events: EventStream[BusEvent]) -> None:
        self.bus = bus
        self.book = book
        self.queue = queue
        self.events = events

    def look(self) -> None:
        self.queue.steer(None).get(timeout=WAIT)


@contextmanager
def working(concurrency: int = 1, **options: Any) -> Generator[Scene]:
    with Bus() as bus:
        events = bus.events.listen()
        book = Book()
        queue = host(bus, book)
        bus.spawn(ProcessWorker, queue="q", concurrency=concurrency, name="w", process=True, **options)
        yield Scene(bus, book, queue, events)


def test_jobs_run_in_as_many_processes_as_are_taken_at_a_time() -> None:
    with working(concurrency=2) as scene:
        tokens = [scene.book.add(WhoAmI()) for _ in range(4)]
        scene.look()
        for _ in tokens:
            assert scene.book.news.get(timeout=WAIT).outcome == "ack"
        processes = {scene.book.value(token) for token in tokens}
        assert os.getpid() not in processes
        assert len(processes) == 2


def test_a_process_records_effects_marks_progress_and_says_why_a_job_failed() -> None:
    with working() as scene:
        careful = scene.book.add(Careful())
        wrong, rejected = scene.book.add(Wrong()), scene.book.add(Wrong(reject=True))
        scene.look()
        found = {each.token: each for each in (scene.book.news.get(timeout=WAIT) for _ in range(3))}
        assert scene.book.value(careful) == 8
        assert [each.done for each in scene.book.effects[careful]] == [False, True]
        assert found[wrong].outcome == "fail"
        assert "in wrong" in found[wrong].traceback
        assert found[rejected].outcome == "reject"
        assert not [each for each in _seen(scene.events) if isinstance(each, AgentFailure)]


def test_a_process_that_dies_of_its_job_is_replaced_and_the_job_is_tried_again_at_once() -> None:
    with working(supervision=RestartPolicy(mode=RestartMode.STOP)) as scene:
        deadly = [scene.book.add(Suicide()) for _ in range(2)]
        harmless = scene.book.add(WhoAmI())
        scene.look()
        found = {each.token: each for each in (scene.book.news.get(timeout=WAIT) for _ in range(3))}
        for token in deadly:
            assert (found[token].outcome, found[token].retry_in) == ("fail", 0.0)
            failure = found[token].failure
            assert failure is not None
            assert failure.kind == "ProcessExitedError"
        assert found[harmless].outcome == "ack"
        assert not [each for each in _seen(scene.events) if isinstance(each, AgentFailure)]


def test_a_handler_that_ignores_its_hard_limit_is_ended_with_its_process() -> None:
    with working() as scene:
        endless = scene.book.add(Endless(), hard_timeout=1.0)
        harmless = scene.book.add(WhoAmI())
        scene.look()
        over = scene.book.news.get(timeout=WAIT)
        assert (over.token, over.outcome) == (endless, "fail")
        assert over.failure is not None
        assert over.failure.kind == "JobTimeoutError"
        assert scene.book.news.get(timeout=WAIT).token == harmless


def _seen(events: EventStream[BusEvent]) -> list[BusEvent]:
    return [events.get(timeout=WAIT) for _ in range(len(events))]
