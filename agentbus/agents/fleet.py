"""A supervised fleet of worker processes: started, watched, restarted by a policy, stopped together.

Each child is a process of its own (spawned, never forked) that runs `agentbus.agents.worker`. Its exit is a
death certificate for its node: everybody knows at once, and nobody waits for a time-out. If this process
dies, the children's standard input ends, and they go too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from agentbus.agents.bus import Bus
from agentbus.agents.events import BusEvent, ProcessExited, ProcessStarted
from agentbus.agents.processes.spec import importable_name
from agentbus.errors import ActorStoppedError
from agentbus.runtime import (
    Backoff,
    Future,
    LoopActor,
    RestartMode,
    RestartPolicy,
    StartOptions,
    receives,
)
from agentbus.runtime.supervision import Restart, RestartTracker

STOP_GRACE = 6.0
"""Seconds between SIGTERM and SIGKILL."""

FLEET_POLICY = RestartPolicy(
    mode=RestartMode.RESTART, intensity=5, period=60.0, backoff=Backoff(initial_delay=0.1, max_delay=5.0)
)


class WorkerProcess(Struct, frozen=True):
    """One process of a fleet.

    Attributes:
        place: in the fleet, from 0; a restarted process keeps it.
        process_id: of the operating system.
        node: its node id; every process has its own.
    """

    place: int
    process_id: int
    node: str


class FleetActor(LoopActor):
    """Own the processes of one fleet.

    Owns:  which process is in which place, and how often it failed.
    Told:  Started and Exited by the threads that wait for the processes; Stop by the facade.
    Tells: the bus, by events and death certificates.

    Args:
        name: prefix of the node ids.
        count: places.
        policy: what follows an exit.
        launch: starts a process for a node, and gives it.
        report: takes events.
        certify: declares a node dead.
        view: the processes that run, for others to look at.
    """

    class Started(Struct, frozen=True):
        """A process runs."""

        place: int
        node: str
        process: Any

    class Exited(Struct, frozen=True):
        """A process has ended, or could not be started."""

        place: int
        node: str
        process_id: int
        exit_code: int

    class Stop(Struct, frozen=True):
        """End all."""

        done: Future[None]

    def __init__(
        self,
        name: str,
        count: int,
        policy: RestartPolicy,
        launch: Callable[[str], subprocess.Popen[bytes]],
        report: Callable[[BusEvent], object],
        certify: Callable[[str], object],
        view: dict[int, WorkerProcess],
    ) -> None:
        super().__init__()
        self._name = name
        self._count = count
        self._policy = policy
        self._launch = launch
        self._report = report
        self._certify = certify
        self._view = view
        self._starts = 0
        self._waiting = 0
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._trackers: dict[int, RestartTracker] = {}
        self._done: list[Future[None]] = []

    # -- a life, in order ------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Start a process in every place."""
        for place in range(self._count):
            self._trackers[place] = RestartTracker(self._policy, self.runtime.random)
            self._fill(place)

    def _fill(self, place: int) -> None:
        """Start a process; the thread that starts it also waits for its end."""
        if self._done:
            return
        self._starts += 1
        self._waiting += 1
        node = f"{self._name}-{place}.{self._starts}"
        threading.Thread(
            target=_attend, args=(self._launch, place, node, self._tell), name=f"agentbus-{node}", daemon=True
        ).start()

    def _tell(self, message: Any) -> None:
        try:
            self.actor_ref.tell(message)
        except ActorStoppedError:
            return  # the fleet is over, and so is the process

    @receives(Started)
    def on_started(self, message: Started) -> None:
        """Note a process; one that comes too late is ended again."""
        self._running[message.place] = message.process
        self._view[message.place] = WorkerProcess(message.place, message.process.pid, message.node)
        self._report(ProcessStarted(message.place, message.process.pid, message.node))
        if self._done:
            _signal(message.process, signal.SIGTERM)

    @receives(Exited)
    def on_exited(self, message: Exited) -> None:
        """Certify the death, and do what the policy says."""
        self._waiting -= 1
        self._running.pop(message.place, None)
        self._view.pop(message.place, None)
        self._certify(message.node)
        delay = None
        if not self._done:
            verdict = self._trackers[message.place].failed(self.clock.monotonic())
            delay = verdict.delay if isinstance(verdict, Restart) else None
        self._report(ProcessExited(message.place, message.process_id, message.node, message.exit_code, delay))
        if delay is not None:
            self.call_later(delay, self._fill, message.place)
        self._finish_if_empty()

    # -- the end ---------------------------------------------------------------------------------------------

    @receives(Stop)
    def on_stop_request(self, message: Stop) -> None:
        """Ask all to end; kill those that don't."""
        self._done.append(message.done)
        for process in self._running.values():
            _signal(process, signal.SIGTERM)
        self.call_later(STOP_GRACE, self._kill)
        self._finish_if_empty()

    def _kill(self) -> None:
        for process in self._running.values():
            _signal(process, signal.SIGKILL)

    def _finish_if_empty(self) -> None:
        if self._done and not self._waiting:
            self.stop()

    def on_stop(self) -> None:
        """Tell those who wait for the end."""
        self._kill()
        for done in self._done:
            done.try_set(None)


class ProcessFleet:
    """Worker processes of one kind, started at once.

    Args:
        bus: whose hub they join; it must listen, unless `environment` says where else.
        target: the agent's class, importable by its module's name, or `module:Class`.
        count: processes.
        name: of the agents, and prefix of the node ids; by default the class's name.
        replicas: agents per process.
        policy: what follows an exit; by default a restart, 5 in 60 s.
        environment: variables for the children on top of this process's own; by default those of the bus's
            hub.

    Raises:
        ValueError: a class that a child could not import, or no process at all.
        AgentBusError: the bus does not let other processes in.
    """

    def __init__(
        self,
        bus: Bus,
        target: str | type[Any],
        count: int,
        *,
        name: str | None = None,
        replicas: int = 1,
        policy: RestartPolicy = FLEET_POLICY,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if count < 1:
            raise ValueError(f"a fleet has at least one process, not {count}")
        path = target if isinstance(target, str) else importable_name(target)
        self.name = name or path.rpartition(":")[2].rpartition(".")[2].lower()
        given = bus.credentials_env() if environment is None else dict(environment)
        command = [sys.executable, "-m", "agentbus.agents.worker", path, "--follow-stdin"]
        command += ["--name", self.name, "--replicas", str(replicas)]
        self._view: dict[int, WorkerProcess] = {}
        launch = partial(_launch, command, given)
        options = StartOptions(runtime=bus.runtime, loop=bus.runtime.io, name=f"fleet {self.name}")
        prefix = f"{self.name}-{bus.runtime.new_id()[:6]}"
        self._actor = FleetActor.start_with(
            options, prefix, count, policy, launch, bus.report, bus.certify_exit, self._view
        )
        bus.before_close(lambda _timeout: self.stop())

    @property
    def processes(self) -> list[WorkerProcess]:
        """The processes that run now."""
        return sorted(self._view.values(), key=lambda process: process.place)

    def stop(self) -> Future[None]:
        """End all processes: SIGTERM, and SIGKILL 6 s later; the future is done when all are gone."""
        done: Future[None] = Future()
        try:
            self._actor.tell(FleetActor.Stop(done))
        except ActorStoppedError:
            done.set(None)
        return done


def _launch(command: list[str], environment: Mapping[str, str], node: str) -> subprocess.Popen[bytes]:
    variables = {**os.environ, **environment, "AGENTBUS_NODE": node}
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=variables)  # noqa: S603 -- our own interpreter


def _attend(
    launch: Callable[[str], subprocess.Popen[bytes]], place: int, node: str, tell: Callable[[Any], None]
) -> None:
    """Start a process and wait for its end; on a thread of its own."""
    try:
        process = launch(node)
    except OSError as error:
        tell(FleetActor.Exited(place, node, 0, error.errno or 1))
        return
    tell(FleetActor.Started(place, node, process))
    with process:
        exit_code = process.wait()
    tell(FleetActor.Exited(place, node, process.pid, exit_code))


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(number)
