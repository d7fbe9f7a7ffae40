"""A parent is killed: the agents in its processes end, and everybody else sees them gone."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from agentbus.agents import Bus, NodeOptions
from agentbus.agents.liveness import LivenessOptions
from agentbus.agents.standing import MembershipOptions
from agentbus.runtime import SystemClock

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.e2e

PROGRAM = textwrap.dedent("""
    import os, sys
    from agentbus import Bus
    from agentbus.agents.fleet import ProcessFleet
    from tests.agents.agents import ProcessWorker
    from tests.agents.process_agents import Prisoner, WhereAmI

    processes, replicas = map(int, sys.argv[1:])
    hub = {name: os.environ[name] for name in ("AGENTBUS_URL", "AGENTBUS_KEY", "AGENTBUS_TRUST")}
    bus = Bus(hub["AGENTBUS_URL"], api_key=hub["AGENTBUS_KEY"], trust="all")
    with bus:
        fleet = ProcessFleet(bus, ProcessWorker, processes, replicas=replicas, environment=hub)
        own = bus.spawn(Prisoner, name="own", process=True)
        bus.wait_for(capability="process", count=processes).get(timeout=50)
        ids = [process.process_id for process in fleet.processes]
        print(*ids, own.ask(WhereAmI()).get(timeout=30)[0], flush=True)
        bus.wait_for(name="never").get()
""")


def kill_a_parent(processes: int, replicas: int, suspect_timeout: float) -> None:
    liveness = LivenessOptions(suspect_timeout=suspect_timeout)
    options = NodeOptions(membership=MembershipOptions(liveness=liveness))
    with Bus(listen="127.0.0.1:0", options=options) as observer:
        events = observer.events.listen(capacity=10_000)
        command = [sys.executable, "-c", PROGRAM, str(processes), str(replicas)]
        environment = os.environ | observer.credentials_env()
        parent = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        children = [int(text) for text in parent.stdout.readline().split()]
        assert len(children) == processes + 1
        observer.wait_for(capability="process", count=processes).get(timeout=30)
        watched = [os.pidfd_open(child) for child in children]
        end = SystemClock.monotonic() + suspect_timeout + 2.0
        parent.kill()
        parent.communicate(timeout=10)
        for descriptor in watched:
            assert select.select([descriptor], [], [], max(0.0, end - SystemClock.monotonic()))[0]
            os.close(descriptor)
        while observer.find(capability="process") or observer.find(name="own"):
            events.get(timeout=max(0.0, end - SystemClock.monotonic()))  # some of them change what is known
        assert SystemClock.monotonic() < end


def test_six_agents_in_two_processes_end_with_their_parent() -> None:
    kill_a_parent(processes=2, replicas=3, suspect_timeout=3.0)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_fifty_agents_in_five_processes_end_with_their_parent() -> None:
    kill_a_parent(processes=5, replicas=10, suspect_timeout=LivenessOptions().suspect_timeout)
