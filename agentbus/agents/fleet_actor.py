"""The actor behind a fleet of processes: it starts them, watches them, and replaces them by a policy."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable
from typing import IO, Any

from msgspec import Struct

from agentbus.agents.events import BusEvent, ProcessExited, ProcessStarted
from agentbus.errors import ActorStoppedError
from agentbus.runtime import Future, LoopActor, RestartPolicy, receives
from agentbus.runtime.supervision import Restart, RestartTracker

STOP_GRACE = 6.0
"""Seconds between SIGTERM and SIGKILL."""

RECYCLED = 75
"""Exit status of a process that wants to be replaced: it has worked for long enough, and nothing is wrong."""


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


class Launched(Struct, frozen=True):
    """A process that was started.

    Attributes:
        process: to be waited for.
        says: what it tells its parent, line by line; None if it says nothing.
    """

    process: subprocess.Popen[bytes]
    says: IO[bytes] | None = None


Launch = Callable[[int, str], Launched]
"""Starts a process for a place and under a node id."""


class FleetRules(Struct, frozen=True, kw_only=True):
    """How a fleet treats its processes.

    Attributes:
        policy: what follows an exit that nobody has asked for.
        grace: seconds between SIGTERM and SIGKILL.
        said: takes what the process in a place says; on the fleet's loop.
        given_up: called when the policy has given up on the last place.
    """

    policy: RestartPolicy
    grace: float = STOP_GRACE
    said: Callable[[int, bytes], object] = lambda _place, _line: None
    given_up: Callable[[], object] = lambda: None


class FleetActor(LoopActor):
    """Own the processes of one fleet.

    Owns:  which process is in which place, and how often it failed.
    Told:  Started, Said and Exited by the threads that wait for the processes; Reload and Stop by the facade.
    Tells: the bus, by events and death certificates.

    Args:
        name: prefix of the node ids.
        count: places.
        rules: see `FleetRules`.
        launch: see `Launch`.
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

    class Said(Struct, frozen=True):
        """A process has said something."""

        place: int
        node: str
        line: bytes

    class Reload(Struct, frozen=True):
        """Replace every process, and try again where the policy has given up."""

    class Stop(Struct, frozen=True):
        """End all; said again, the processes hear it again, and take it to be urgent."""

        done: Future[None]

    def __init__(
        self,
        name: str,
        count: int,
        rules: FleetRules,
        launch: Launch,
        report: Callable[[BusEvent], object],
        certify: Callable[[str], object],
        view: dict[int, WorkerProcess],
    ) -> None:
        super().__init__()
        self._name = name
        self._count = count
        self._rules = rules
        self._launch = launch
        self._report = report
        self._certify = certify
        self._view = view
        self._starts = 0
        self._waiting = 0
        self._replaced: set[str] = set()
        self._empty: set[int] = set()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._trackers: dict[int, RestartTracker] = {}
        self._done: list[Future[None]] = []

    # -- a life, in order ------------------------------------------------------------------------------------

    def on_start(self) -> None:
        """Start a process in every place."""
        for place in range(self._count):
            self._trackers[place] = RestartTracker(self._rules.policy, self.runtime.random)
            self._fill(place)

    def _fill(self, place: int) -> None:
        """Start a process; the thread that starts it also waits for its end."""
        if self._done:
            return
        self._starts += 1
        self._waiting += 1
        self._empty.discard(place)
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
        delay = None if self._done else self._delay(message)
        self._report(ProcessExited(message.place, message.process_id, message.node, message.exit_code, delay))
        if delay is not None:
            self.call_later(delay, self._fill, message.place)
        elif not self._done:
            self._empty.add(message.place)
            if len(self._empty) == self._count:
                self._rules.given_up()
        self._finish_if_empty()

    def _delay(self, exited: Exited) -> float | None:
        """Give seconds until the place is filled again; None for never."""
        if exited.exit_code == RECYCLED or exited.node in self._replaced:
            self._replaced.discard(exited.node)
            return 0.0
        verdict = self._trackers[exited.place].failed(self.clock.monotonic())
        return verdict.delay if isinstance(verdict, Restart) else None

    @receives(Said)
    def on_said(self, message: Said) -> None:
        """Pass on what the process in a place says, if it is still there."""
        view = self._view.get(message.place)
        if view is not None and view.node == message.node:
            self._rules.said(message.place, message.line)

    @receives(Reload)
    def on_reload(self, _message: Reload) -> None:
        """Ask every process to end, and fill the empty places."""
        for place in range(self._count):
            self._trackers[place] = RestartTracker(self._rules.policy, self.runtime.random)
        for place, process in self._running.items():
            node = self._view[place].node
            if node not in self._replaced:
                self._replaced.add(node)
                _signal(process, signal.SIGTERM)
                self.call_later(self._rules.grace, self._insist, node, place)
        for place in list(self._empty):
            self._fill(place)

    def _insist(self, node: str, place: int) -> None:
        view = self._view.get(place)
        if view is not None and view.node == node:
            _signal(self._running[place], signal.SIGKILL)

    # -- the end ---------------------------------------------------------------------------------------------

    @receives(Stop)
    def on_stop_request(self, message: Stop) -> None:
        """Ask all to end; kill those that don't."""
        self._done.append(message.done)
        for process in self._running.values():
            _signal(process, signal.SIGTERM)
        self.call_later(self._rules.grace, self._kill)
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


def _attend(launch: Launch, place: int, node: str, tell: Callable[[Any], None]) -> None:
    """Start a process and wait for its end; on a thread of its own."""
    try:
        launched = launch(place, node)
    except OSError as error:
        tell(FleetActor.Exited(place, node, 0, error.errno or 1))
        return
    process = launched.process
    tell(FleetActor.Started(place, node, process))
    if launched.says is not None:
        reader = threading.Thread(target=_read, args=(launched.says, place, node, tell), daemon=True)
        reader.start()
    with process:
        exit_code = process.wait()
    tell(FleetActor.Exited(place, node, process.pid, exit_code))


def _read(says: IO[bytes], place: int, node: str, tell: Callable[[Any], None]) -> None:
    """Pass on what a process says until it is gone."""
    with says:
        for line in says:
            tell(FleetActor.Said(place, node, line))


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(number)
