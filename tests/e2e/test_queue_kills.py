"""`kill -9` at random of a queue's host and of its workers: every job is accounted for at the end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from agentbus import Bus, JobRejected
from agentbus.agents.queues.handle import Queue
from agentbus.agents.queues.job_ref import JobRef
from tests.e2e.queue_nodes import Add

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.e2e
WAIT = 60.0


class Node:
    """A process that dies and comes back."""

    def __init__(self, environment: dict[str, str], role: str, name: str, path: Path) -> None:
        self._command = [sys.executable, "-m", "tests.e2e.queue_nodes", role, name, str(path)]
        self._environment = environment
        self.deaths = 0
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, text=True
        )

    def wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()
        self.deaths += 1

    def restart(self) -> None:
        self.kill()
        self._process = self._start()


@contextmanager
def nodes(bus: Bus, folder: Path) -> Generator[list[Node]]:
    environment = os.environ | bus.credentials_env()
    running = [
        Node(environment, "host", "host", folder / "queue.db"),
        Node(environment, "worker", "one", folder / "log"),
        Node(environment, "worker", "two", folder / "log"),
    ]
    try:
        for node in running:
            node.wait_until_ready()
        yield running
    finally:
        for node in running:
            node.kill()


def put_and_kill(queue: Queue, running: list[Node], rounds: int, random: Random) -> dict[int, JobRef[int]]:
    """Put jobs, and after every few of them kill somebody; the killed one is back before the next dies.

    In a round everybody dies once, in any order.
    """
    jobs: dict[int, JobRef[int]] = {}
    for victim in [each for _ in range(rounds) for each in random.sample(running, len(running))]:
        batch = range(len(jobs), len(jobs) + random.randint(1, 200))
        put = queue.put_many([Add(number) for number in batch], timeout=WAIT)
        victim.restart()  # while the put is on its way
        jobs.update(zip(batch, put.get(timeout=WAIT), strict=True))
        victim.wait_until_ready()
    return jobs


def account(folder: Path, rounds: int, seed: int) -> None:
    with Bus(listen="127.0.0.1:0") as bus, nodes(bus, folder) as running:
        queue = bus.queue("tasks")
        jobs = put_and_kill(queue, running, rounds, Random(seed))
        doubtful = 0
        for number, job in jobs.items():
            end = job.outcome().get(timeout=WAIT)
            in_doubt = isinstance(end.error, JobRejected) and "began 'line'" in end.error.reason
            doubtful += in_doubt  # its worker died between intent and result
            assert in_doubt or end.value == number + 1
        stats = queue.stats().get(timeout=WAIT)
        assert (stats.done, stats.dead) == (len(jobs) - doubtful, doubtful)
        assert (stats.queued, stats.delayed, stats.leased, stats.waiting) == (0, 0, 0, 0)
        lines = Counter(map(int, (folder / "log").read_text().split()))
        assert max(lines.values()) == 1  # 0 effects repeated
        assert [node.deaths for node in running] == [rounds] * len(running)


def test_every_job_is_accounted_for_after_everybody_was_killed_twice(tmp_path: Path) -> None:
    account(tmp_path, 2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_job_is_accounted_for_after_sixty_kills(tmp_path: Path) -> None:
    account(tmp_path, 20, seed=2)
