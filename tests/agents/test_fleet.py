"""Real processes over a real port: workers, their deaths, and their parent's."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import textwrap
from collections.abc import Generator
from pathlib import Path

import pytest

from agentbus.agents.agent import AgentActor
from agentbus.agents.bus import Bus
from agentbus.agents.events import BusEvent, DeathReason, NodeDead, ProcessExited, ProcessStarted
from agentbus.agents.fleet import ProcessFleet, importable_name
from agentbus.agents.handlers import handles
from agentbus.agents.outcome import Outcome
from agentbus.agents.worker import load_target, main
from agentbus.errors import AgentBusError, OutcomeUnknownError
from agentbus.runtime import Backoff, EventStream, Future, RestartMode, RestartPolicy, SystemClock
from tests.agents.agents import Die, Echo, ProcessWorker, Relay, Seen

ROOT = Path(__file__).resolve().parents[2]
TARGET = "tests.agents.agents:ProcessWorker"
pytestmark = pytest.mark.e2e


@contextlib.contextmanager
def fleet_of(count: int) -> Generator[tuple[Bus, ProcessFleet, EventStream[BusEvent]]]:
    with Bus(listen="127.0.0.1:0") as bus:
        events = bus.events.listen()
        environment = bus.credentials_env() | {"PYTHONPATH": str(ROOT)}
        yield bus, ProcessFleet(bus, TARGET, count, environment=environment), events


def next_of(events: EventStream[BusEvent], kind: type[BusEvent]) -> BusEvent:
    while True:
        event = events.get(timeout=30)
        if isinstance(event, kind):
            return event


def test_workers_in_processes_die_are_certified_dead_and_come_back() -> None:
    with fleet_of(2) as (bus, fleet, events):
        refs = bus.wait_for(capability="process", count=2).get(timeout=30)
        pids = {int(ref.ask(Echo("pid")).get(timeout=10).text.split()[1]) for ref in refs}
        assert pids == {process.process_id for process in fleet.processes}
        assert os.getpid() not in pids
        victim = fleet.processes[0]
        (ref,) = [ref for ref in refs if ref.node == victim.node]
        lost = ref.ask(Die(9))
        exited = next_of(events, ProcessExited)
        assert isinstance(exited, ProcessExited)
        assert (exited.exit_code, exited.place, exited.node) == (9, 0, victim.node)
        assert exited.restart_delay is not None
        dead = next_of(events, NodeDead)
        assert isinstance(dead, NodeDead)
        assert dead.reason is DeathReason.EXITED
        with pytest.raises(OutcomeUnknownError):
            lost.get(timeout=10)
        again = bus.wait_for(capability="process", count=2).get(timeout=30)
        assert {each.node for each in again} != {each.node for each in refs}
    assert fleet.processes == []


def test_closing_the_bus_stops_the_processes_in_good_order() -> None:
    with fleet_of(1) as (bus, _fleet, events):
        (ref,) = bus.wait_for(capability="process").get(timeout=30)
        assert ref.tell(Echo("x")).get(timeout=10) is Outcome.DELIVERED
    exits = [event for event in events if isinstance(event, ProcessExited)]
    assert [event.exit_code for event in exits] == [0]


def test_children_go_when_their_parent_is_killed() -> None:
    program = textwrap.dedent("""
        from agentbus.agents.bus import Bus
        from agentbus.agents.fleet import ProcessFleet
        from tests.agents.agents import ProcessWorker

        with Bus(listen="127.0.0.1:0") as bus:
            fleet = ProcessFleet(bus, ProcessWorker, 2)
            bus.wait_for(capability="process", count=2).get(timeout=40)
            print(*(process.process_id for process in fleet.processes), flush=True)
            bus.wait_for(name="never").get()
    """)
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    children = [int(text) for text in parent.stdout.readline().split()]
    assert len(children) == 2
    # the children hold the other ends of these pipes until they are gone: no polling is needed to see it
    watched = [os.pidfd_open(pid) for pid in children]
    parent.kill()
    parent.communicate(timeout=10)
    for descriptor in watched:
        assert _readable(descriptor, timeout=20)
        os.close(descriptor)


def _readable(descriptor: int, timeout: float) -> bool:
    import select

    return bool(select.select([descriptor], [], [], timeout)[0])


def test_a_worker_exits_with_1_when_the_hub_refuses_it() -> None:
    with Bus(listen="127.0.0.1:0") as bus:
        environment = os.environ | bus.credentials_env() | {"AGENTBUS_KEY": "pk_live_wrong"}
        command = [sys.executable, "-m", "agentbus.agents.worker", TARGET]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
        )
    assert done.returncode == 1
    assert "key or token" in done.stderr
    assert "pk_live_wrong" not in done.stderr


class _RefusedAtOnce(Bus):
    """A bus whose hub is faster to refuse it than its owner is to do anything else."""

    def start(self) -> Future[None]:
        started = super().start()
        with contextlib.suppress(AgentBusError):
            self.ended.get(timeout=20)
        return started


@pytest.fixture
def own_signals() -> Generator[None]:
    """Put the handlers of this process back, which a worker in it takes."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_signals")
def test_a_refusal_before_the_agent_is_there_is_1_as_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("agentbus.agents.worker.Bus", _RefusedAtOnce)
    with Bus(listen="127.0.0.1:0") as bus:
        assert main([TARGET], bus.credentials_env() | {"AGENTBUS_KEY": "pk_live_wrong"}) == 1
    assert "key or token" in capsys.readouterr().err


def test_a_worker_ends_with_0_on_sigterm() -> None:
    with Bus(listen="127.0.0.1:0") as bus:
        environment = os.environ | bus.credentials_env()
        command = [sys.executable, "-m", "agentbus.agents.worker", TARGET, "--name", "solo"]
        worker = subprocess.Popen(command, cwd=ROOT, env=environment)
        (ref,) = bus.wait_for(name="solo").get(timeout=30)
        assert ref.ask(Echo("x")).get(timeout=10).text == f"x {worker.pid}"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=20) == 0


def test_a_fleet_that_keeps_dying_gives_up() -> None:
    with Bus(listen="127.0.0.1:0") as bus:
        events = bus.events.listen()
        policy = RestartPolicy(
            mode=RestartMode.RESTART, intensity=1, backoff=Backoff(initial_delay=0.01, max_delay=0.01)
        )
        ProcessFleet(bus, "no.such.module:Nothing", 1, environment={}, policy=policy)
        while True:
            exited = next_of(events, ProcessExited)
            assert isinstance(exited, ProcessExited)
            assert exited.exit_code == 2
            if exited.restart_delay is None:
                break


def test_targets_are_checked() -> None:
    assert load_target(TARGET) is ProcessWorker
    assert importable_name(ProcessWorker) == TARGET
    for target in ("", "tests.agents.agents", ":X", "tests.agents.agents:Nobody", "tests.agents.agents:os"):
        with pytest.raises(ValueError, match=r"target is|no class"):
            load_target(target)

    class Local(ProcessWorker):
        pass

    with pytest.raises(ValueError, match="import"):
        importable_name(Local)


def test_a_fleet_needs_a_hub_that_others_can_reach() -> None:
    with Bus() as bus:
        with pytest.raises(AgentBusError, match="listen"):
            ProcessFleet(bus, TARGET, 1)
        with pytest.raises(ValueError, match="at least one"):
            ProcessFleet(bus, TARGET, 0)


def test_a_worker_without_a_hub_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([TARGET], {}) == 2
    assert "AGENTBUS_URL" in capsys.readouterr().err
    assert main(["nonsense"], {"AGENTBUS_URL": "ws://localhost", "AGENTBUS_KEY": "pk_live_x"}) == 2
    assert ProcessStarted(0, 1, "n").node == "n"


def test_four_levels_in_three_processes_see_a_cancel_within_a_second() -> None:
    seen: queue.SimpleQueue[tuple[float, Seen]] = queue.SimpleQueue()

    class Witness(AgentActor):
        @handles
        def seen(self, message: Seen) -> None:
            seen.put((SystemClock.monotonic(), message))

    with Bus(listen="127.0.0.1:0") as bus:
        environment = bus.credentials_env() | {"PYTHONPATH": str(ROOT)}
        ProcessFleet(bus, "tests.agents.agents:Relayer", 3, environment=environment)
        first, second, third = bus.wait_for(capability="relay", count=3).get(timeout=30)
        witness = bus.spawn(Witness, name="witness")
        path = (str(second), str(third), str(second))
        for _ in range(3):
            ask = first.ask(Relay(path, str(witness)))
            assert sorted(seen.get(timeout=20)[1].level for _ in range(4)) == [0, 1, 2, 3]
            cancelled_at = SystemClock.monotonic()
            assert ask.cancel()
            told = [seen.get(timeout=20) for _ in range(4)]
            assert {(each.what, each.level) for _, each in told} == {("cancelled", n) for n in range(4)}
            assert max(at for at, _ in told) - cancelled_at < 1.0
