"""`WorkerParent`: the processes that work for one queue, kept running by the process that started them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from agentbus.agents.fleet import FLEET_POLICY
from agentbus.agents.fleet_actor import FleetActor, FleetRules, Launched, WorkerProcess
from agentbus.agents.queues.holding import HAND_BACK_GRACE
from agentbus.agents.queues.puller import LAST_WORDS
from agentbus.agents.queues.serving import CLOSE_TIMEOUT, JobOptions, ProcessReport
from agentbus.errors import ActorStoppedError
from agentbus.runtime import Future, RestartPolicy, StartOptions

if TYPE_CHECKING:
    from agentbus.agents.bus import Bus

STAGGER = 10
"""Processes reach their `max_jobs` over a tenth of them one after the other, and not all at once."""


class PlaceReport(msgspec.Struct, frozen=True):
    """One place of a fleet.

    Attributes:
        place: from 0.
        process: that runs there; None for none.
        report: the last that it has said; None for nothing so far.
        over: jobs whose end the queue has taken note of, by the processes that were here before.
        failed: attempts among them that failed.
    """

    place: int
    process: WorkerProcess | None
    report: ProcessReport | None
    over: int = 0
    failed: int = 0


class WorkerParent:
    """Starts processes, replaces those that end, and certifies their ends to the bus.

    So a job of a process that was killed is given to another worker at once.

    Args:
        bus: a node of its own, which declares the processes' nodes dead.
        target: the agent's class as `module:Class`.
        processes: how many.
        jobs: how each works.
        environment: variables for them: the hub, the credential, the namespace.
        name: of the workers.
        policy: what follows an exit that nobody has asked for.
        given_up: called when the policy has given up on all.
    """

    def __init__(
        self,
        bus: Bus,
        target: str,
        processes: int,
        jobs: JobOptions,
        environment: Mapping[str, str],
        *,
        name: str,
        policy: RestartPolicy = FLEET_POLICY,
        given_up: Callable[[], object] = lambda: None,
    ) -> None:
        self._count = processes
        self._view: dict[int, WorkerProcess] = {}
        self._reports: dict[int, tuple[str, ProcessReport]] = {}
        self._before: dict[int, tuple[int, int]] = {}
        self._decode = msgspec.json.Decoder(ProcessReport).decode
        grace = jobs.drain_timeout + HAND_BACK_GRACE + LAST_WORDS + CLOSE_TIMEOUT
        rules = FleetRules(policy=policy, grace=grace, said=self._said, given_up=given_up)
        self._actor = FleetActor.start_with(
            StartOptions(runtime=bus.runtime, loop=bus.runtime.io, name=f"workers {name}"),
            f"{name}-{bus.runtime.new_id()[:6]}",
            processes,
            rules,
            partial(_launch, _command(target, name, jobs), jobs, processes, dict(environment)),
            bus.report,
            bus.certify_exit,
            self._view,
        )

    def _said(self, place: int, line: bytes) -> None:
        try:
            node, report = self._view[place].node, self._decode(line)
        except (msgspec.DecodeError, KeyError):
            return  # a line that was cut off by the end of the process
        known, last = self._reports.get(place, ("", None))
        if known != node and last is not None:
            self._before[place] = _added(self._before.get(place, (0, 0)), last)
        self._reports[place] = node, report

    @property
    def places(self) -> list[PlaceReport]:
        """How each place is; from any thread."""
        return [self._place(place) for place in range(self._count)]

    def _place(self, place: int) -> PlaceReport:
        process = self._view.get(place)
        node, report = self._reports.get(place, ("", None))
        before = self._before.get(place, (0, 0))
        if report is None or (process is not None and process.node == node):
            return PlaceReport(place, process, report, *before)
        return PlaceReport(place, process, None, *_added(before, report))

    def reload(self) -> None:
        """Replace every process by one that loads the program anew; each drains first."""
        self._tell(FleetActor.Reload())

    def stop(self) -> Future[None]:
        """Have all drain and end; said again, they hand back at once. The future is of the last end."""
        done: Future[None] = Future()
        if not self._tell(FleetActor.Stop(done)):
            done.set(None)
        return done

    def _tell(self, message: FleetActor.Reload | FleetActor.Stop) -> bool:
        try:
            self._actor.tell(message)
        except ActorStoppedError:
            return False
        return True


def _added(before: tuple[int, int], report: ProcessReport) -> tuple[int, int]:
    """Add what a process has done that is gone."""
    return before[0] + report.worker.over, before[1] + report.worker.failed


def _command(target: str, name: str, jobs: JobOptions) -> list[str]:
    command = [sys.executable, "-m", "agentbus.agents.worker", target, "--follow-stdin", "--name", name]
    command += ["--queue", jobs.queue, "--concurrency", str(jobs.concurrency)]
    command += ["--drain-timeout", str(jobs.drain_timeout)]
    return command if jobs.max_memory is None else [*command, "--max-memory", str(jobs.max_memory)]


def _launch(
    command: list[str],
    jobs: JobOptions,
    processes: int,
    environment: Mapping[str, str],
    place: int,
    node: str,
) -> Launched:
    """Start the process of a place; it says how it is over a pipe."""
    variables = {**os.environ, **environment, "AGENTBUS_NODE": node}
    reading, writing = os.pipe()
    arguments = [*command, "--report-to", str(writing)]
    if jobs.max_jobs is not None:
        arguments += ["--max-jobs", str(staggered(jobs.max_jobs, place, processes))]
    try:
        process = subprocess.Popen(  # noqa: S603 -- our own interpreter
            arguments, stdin=subprocess.PIPE, env=variables, pass_fds=(writing,)
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return Launched(process, os.fdopen(reading, "rb"))


def staggered(max_jobs: int, place: int, processes: int) -> int:
    """Give after how many jobs the process of a place is replaced."""
    return max_jobs + max_jobs * place // (STAGGER * processes)
