"""`agentbus worker --queue`: real processes that are killed, told to end, spent, and changed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agentbus import Bus
from agentbus.runtime import SystemClock
from tests.agents.queues.process_workers import NEVER, Grow, Hang, WhoAmI, Work

ROOT = Path(__file__).resolve().parents[2]
TARGET = "tests.agents.queues.process_workers:CommandWorker"
WAIT = 40.0
LEASE = 60.0
pytestmark = pytest.mark.e2e


@contextlib.contextmanager
def bus_with_queue() -> Generator[tuple[Bus, Any]]:
    with Bus(listen="127.0.0.1:0") as bus:
        queue = bus.queue("q", store="memory://")
        queue.ready.get(timeout=WAIT)
        yield bus, queue


def environment(bus: Bus) -> dict[str, str]:
    return {**os.environ, **bus.credentials_env(), "PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def command(bus: Bus, *arguments: str, folder: Path = ROOT) -> Generator[subprocess.Popen[str]]:
    """Run the command, and end it whatever happens."""
    line = [sys.executable, "-m", "agentbus", "worker", *arguments, "--queue", "q"]
    process = subprocess.Popen(
        line, cwd=folder, env=environment(bus), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def wait_for_line(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"the command has ended without {words!r}")


def wait_for_state(process: subprocess.Popen[str], **wanted: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if wanted.items() <= json.loads(line).items():
            return
    raise AssertionError(f"the command has ended without {wanted}")


def test_a_killed_workers_job_goes_on_at_once_and_a_second_signal_hands_it_back(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with bus_with_queue() as (bus, queue), command(bus, TARGET, "--processes", "2", "--json") as process:
        wait_for_state(process, attached=2)
        job = queue.put(Hang(str(pipe))).get(timeout=WAIT)
        victim = int(pipe.read_text())
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        assert int(pipe.read_text()) != victim
        assert time.monotonic() - killed < LEASE / 4, "nobody waited for the lease"
        assert job.status().get(timeout=WAIT).attempts == 2
        process.send_signal(signal.SIGTERM)
        wait_for_state(process, draining=1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=WAIT) == 0
        status = job.status().get(timeout=WAIT)
        assert (status.state, status.attempts) == ("queued", 1), "handed back, as if it had not begun"


def test_a_process_is_replaced_after_so_many_jobs() -> None:
    with bus_with_queue() as (bus, queue), command(bus, TARGET, "--max-jobs", "2", "--json") as process:
        first = queue.put_many([WhoAmI(), WhoAmI()]).get(timeout=WAIT)
        old = {job.result().get(timeout=WAIT) for job in first}
        wait_for_line(process, "ended with 75; replaced in 0.0 s")
        new = queue.put(WhoAmI()).get(timeout=WAIT).result().get(timeout=WAIT)
        assert new not in old
        wait_for_state(process, over=3, processes=1)  # the two of the process that is gone still count


def test_a_process_is_replaced_once_it_holds_too_much_memory() -> None:
    with bus_with_queue() as (bus, queue), command(bus, TARGET, "--max-memory", "200") as process:
        old = queue.put(WhoAmI()).get(timeout=WAIT).result().get(timeout=WAIT)
        assert queue.put(Grow(200_000_000)).get(timeout=WAIT).result().get(timeout=WAIT) == old
        wait_for_line(process, "ended with 75; replaced in 0.0 s")
        assert queue.put(WhoAmI()).get(timeout=WAIT).result().get(timeout=WAIT) != old


def test_a_health_port_that_is_taken_is_2_and_no_process_is_started() -> None:
    with bus_with_queue() as (bus, _queue), socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with command(bus, TARGET, "--health", port) as process:
            _out, err = process.communicate(timeout=WAIT)
        assert process.returncode == 2
        assert f"the health port {port}" in err
        assert "Traceback" not in err
        assert bus.find(capability="agentbus.worker") == []


def readiness(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=WAIT) as answer:  # noqa: S310 -- what the command has said
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def wait_until_readiness_is(url: str, code: int) -> None:
    clock = SystemClock()
    end = clock.monotonic() + WAIT
    while readiness(url) != code:
        assert clock.monotonic() < end
        NEVER.wait(0.1)


def test_a_command_is_not_ready_any_more_once_its_hub_is_gone() -> None:
    with bus_with_queue() as (bus, _queue), command(bus, TARGET, "--health", "0") as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "health on" in line)
        url = line.split()[-1]
        wait_until_readiness_is(url, 200)
        bus.close().get(timeout=WAIT)
        wait_until_readiness_is(url, 503)
        assert readiness(url.replace("readyz", "healthz")) == 200
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)


MODULE = """
from agentbus import AgentActor, Message, handles

class Ask(Message):
    pass

class Answerer(AgentActor):
    @handles
    def answer(self, _message: Ask) -> int:
        return {answer}
"""


def test_a_changed_source_file_replaces_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "answerer_of_a_test.py"
    source.write_text(MODULE.format(answer=1))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    ask = __import__(source.stem).Ask
    with (
        bus_with_queue() as (bus, queue),
        command(bus, f"{source.stem}:Answerer", "--watch", folder=tmp_path) as process,
    ):
        assert queue.put(ask()).get(timeout=WAIT).result().get(timeout=WAIT) == 1
        source.write_text(MODULE.format(answer=20))
        wait_for_line(process, "has changed")
        wait_for_line(process, "ended with 0; replaced")
        assert queue.put(ask()).get(timeout=WAIT).result().get(timeout=WAIT) == 20
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=WAIT) == 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_hundred_ends_of_real_processes_lose_nothing_and_ack_nothing_twice(tmp_path: Path) -> None:
    """Each process ends at a random moment, by one signal, by two, or killed."""
    random, together, ends = Random(1), 8, 200
    done = tmp_path / "done"
    done.touch()
    program = [sys.executable, "-m", "agentbus.agents.worker", TARGET, "--queue", "q", "--concurrency", "2"]
    with bus_with_queue() as (bus, queue):
        jobs = list[Any]()
        killed = 0
        for group in range(ends // together):
            processes = {
                f"w{group}-{number}": subprocess.Popen(
                    [*program, "--drain-timeout", "1"],
                    env=environment(bus) | {"AGENTBUS_NODE": f"w{group}-{number}"},
                )
                for number in range(together)
            }
            work = [Work(random.choice([0.05, 0.3, 2.0]), str(done)) for _ in range(3 * together)]
            jobs += queue.put_many(work).get(timeout=WAIT)
            bus.wait_for(capability="agentbus.worker", count=together).get(timeout=WAIT)
            for node, process in processes.items():
                how = random.choice(["once", "twice", "kill"])
                killed += how == "kill"
                process.send_signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)
                if how == "twice":
                    process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=WAIT) in {0, -signal.SIGKILL}
                bus.certify_exit(node)
        last = subprocess.Popen([*program, "--concurrency", "16"], env=environment(bus))
        results = [job.result().get(timeout=WAIT) for job in jobs]
        stats = queue.stats().get(timeout=WAIT)
        last.send_signal(signal.SIGTERM)
        assert last.wait(timeout=WAIT) == 0
        assert all(isinstance(result, int) for result in results)
        assert (stats.put, stats.acked, stats.dead) == (len(jobs), len(jobs), 0)
        ran = [line.split()[0] for line in done.read_text().splitlines()]
        assert set(ran) == {job.id for job in jobs}
        assert len(ran) - len(jobs) <= 2 * killed + stats.redelivered, "what ran to its end twice was lost"
