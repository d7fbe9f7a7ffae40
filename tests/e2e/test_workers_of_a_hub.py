"""`agentbus serve --workers`: several processes on one port are one hub."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.cluster import HubProgram, started
from tests.e2e.people import all_see_all, people, traffic_passes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
PEOPLE = 6


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def workers_of(hub: HubProgram) -> list[psutil.Process]:
    return psutil.Process(hub.pid).children()


def held_by(worker: psutil.Process) -> int:
    """Count the connections that a worker holds."""
    return sum(one.status == "ESTABLISHED" for one in worker.net_connections("tcp"))


def test_workers_share_a_port_and_one_that_is_killed_comes_back() -> None:
    hub = HubProgram("--dev", "--workers", "3")

    async def main() -> None:
        async with people(*[hub.url] * PEOPLE) as everybody:
            await traffic_passes(everybody[0], everybody[-1])
            victim = max(workers_of(hub), key=held_by)
            lost = held_by(victim)
            assert lost
            victim.kill()
            await everybody[0].until(lambda: sum(person.welcomes for person in everybody) >= PEOPLE + lost)
            await all_see_all(everybody)
            await traffic_passes(everybody[0], everybody[-1])

    with started(hub):
        assert len(workers_of(hub)) == 3
        run(main())
        workers = workers_of(hub)
        assert hub.stop() == 0
        assert not any(worker.is_running() for worker in workers)
    said = "".join(hub.lines)
    assert said.count("agentbus hub ready on") == 1
    assert "with 3 workers" in said


def test_workers_end_with_the_process_that_started_them() -> None:
    hub = HubProgram("--dev", "--workers", "2", "--log-level", "error")
    with started(hub):
        workers = workers_of(hub)
        os.kill(hub.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert alive == []


def test_all_workers_read_the_file_again_on_sighup(tmp_path: Path) -> None:
    app = '[[apps]]\nid = "demo"\n[[apps.publishable_keys]]\nchannel_patterns = ["**"]\nkey = "{}"\n'
    file = tmp_path / "hub.toml"
    file.write_text(app.format("pk_before"))
    hub = HubProgram("--config", str(file), "--workers", "2")
    with started(hub):
        file.write_text(app.format("pk_after"))
        os.kill(hub.pid, signal.SIGHUP)
        for _ in range(2):
            hub.wait_for("configuration reloaded")
        assert hub.stop() == 0


def test_a_mistake_ends_them_all_with_2() -> None:
    hub = HubProgram("--dev", "--workers", "2", "--backplane", "http://s3cr3t@nowhere")
    hub.launch()
    with pytest.raises(AssertionError):
        hub.wait_until_ready()
    assert hub.stop() == 2
    assert "must be nats://host:4222" in "".join(hub.lines)
    assert "s3cr3t" not in "".join(hub.lines)
