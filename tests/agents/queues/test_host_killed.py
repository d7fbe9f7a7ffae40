"""The process of a host is killed while jobs are put and worked on: every job is accounted for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from agentbus import AgentActor, AsyncAgentActor, Bus, DeathReason, JobRef, NodeDead, Request, handles
from agentbus.runtime import Future
from tests.agents.queues.workers import Double

SCRIPT = Path(__file__).with_name("host_process.py")
KILLS = 2
JOBS = 300
WAIT = 30.0


class Doubler(AsyncAgentActor):
    @handles
    async def double(self, message: Double) -> int:
        return 2 * message.number


@contextmanager
def hosted(bus: Bus, path: Path, node: str, *, certified: bool = True) -> Generator[None]:
    """Host the queue in a process that is killed in the end; its parent certifies that, or nobody does."""
    env = {**os.environ, **bus.credentials_env()}
    command = [sys.executable, str(SCRIPT), str(path), node]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.kill()
    if certified:
        bus.certify_exit(node)


def test_a_host_that_is_killed_loses_no_job_and_acks_none_twice(tmp_path: Path) -> None:
    with Bus(listen="127.0.0.1:0") as bus:
        queue = bus.queue("tasks")
        bus.spawn(Doubler, queue="tasks", concurrency=8)
        puts: list[Future[JobRef[int]]] = []
        for life in range(KILLS):
            with hosted(bus, tmp_path / "queue.db", f"host-{life}"):
                puts += [queue.put(Double(number)) for number in range(JOBS)]
                puts[-JOBS // 2].get(timeout=WAIT)  # the others are under way
        with hosted(bus, tmp_path / "queue.db", "the last"):
            refs = [put.get(timeout=WAIT) for put in puts]
            results = [ref.result().get(timeout=WAIT) for ref in refs]
            assert results == [2 * number for number in range(JOBS)] * KILLS
            assert len({ref.id for ref in refs}) == len(refs)
            stats = queue.stats().get(timeout=WAIT)
            assert (stats.done, stats.dead, stats.queued, stats.leased) == (len(refs), 0, 0, 0)
            assert stats.epoch == KILLS + 1


def test_a_host_that_was_killed_is_followed_at_once_by_one_of_another_name(tmp_path: Path) -> None:
    """Its store's lock proves the death: neither who puts nor the worker waits for 20 s of silence."""
    with Bus(listen="127.0.0.1:0") as bus:
        deaths: Future[NodeDead] = Future()
        bus.events.attach(lambda event: deaths.try_set(event) if isinstance(event, NodeDead) else None)
        queue = bus.queue("tasks")
        bus.spawn(Doubler, queue="tasks")
        with hosted(bus, tmp_path / "queue.db", "first", certified=False):
            assert queue.put(Double(1)).get(timeout=WAIT).result().get(timeout=WAIT) == 2
        with hosted(bus, tmp_path / "queue.db", "second"):
            assert queue.put(Double(2)).get(timeout=WAIT).result().get(timeout=WAIT) == 4
            dead = deaths.get(timeout=0)
            assert (dead.node, dead.reason) == ("first", DeathReason.EXITED)


class PutOne(Request[str], wire_name="queue_tests.PutOne"):
    number: int


class Porter(AgentActor):
    """Puts jobs from a process of its own."""

    @handles
    def put(self, message: PutOne) -> str:
        return self.bus.queue("tasks").put(Double(message.number)).get(timeout=WAIT).id


def test_an_agent_in_a_process_of_its_own_puts_jobs() -> None:
    with Bus(listen="127.0.0.1:0") as bus:
        queue = bus.queue("tasks", store="memory://")
        bus.spawn(Doubler, queue="tasks")
        porter = bus.spawn(Porter, process=True)
        job_id = porter.ask(PutOne(7)).get(timeout=WAIT)
        assert queue.job(job_id).result().get(timeout=WAIT) == 14
