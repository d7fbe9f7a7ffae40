"""One run: a bus with its hub, a wire that can be cut, the fleet, the coordinator and the reporter."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from threading import Thread

from msgspec import Struct

from agentbus.agents import AgentDown, AgentRef, Bus
from agentbus.agents.fleet import ProcessFleet
from agentbus.cli.demo.chaos import Chaos
from agentbus.cli.demo.fleet.coordinator import Coordinator, Plan, Result
from agentbus.cli.demo.fleet.messages import Job
from agentbus.cli.demo.fleet.reporter import Reporter
from agentbus.cli.demo.fleet.worker import DocumentWorker
from agentbus.cli.demo.ledger import Ledger
from agentbus.cli.demo.relay import Relay
from agentbus.cli.demo.sources import Source
from agentbus.cli.demo.topics import load_library
from agentbus.cli.progress import Progress
from agentbus.cli.signals import terminated_like_ctrl_c
from agentbus.errors import AgentStopped
from agentbus.runtime import Future

FILE_TIMEOUT = 120.0
MODEL_FILE_TIMEOUT = 900.0  # a local model on a small machine takes its time
START_TIMEOUT = 10.0
STOP_TIMEOUT = 15.0

_ONE_THREAD_EACH = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # there is a process per core


class Run(Struct, frozen=True):
    """What is to be done.

    Attributes:
        job: what is the same for every file.
        sources: the files.
        workers: processes.
        chaos: whether one of them is killed and one connection cut.
    """

    job: Job
    sources: tuple[Source, ...]
    workers: int
    chaos: bool


def run_fleet(run: Run, progress: Progress) -> Result:
    """Do the work and wait for its end; Ctrl-C and SIGTERM stop the fleet and come out as KeyboardInterrupt.

    Raises:
        AgentStopped: the coordinator itself failed.
    """
    result: Future[Result] = Future[Result]().quiet()
    with terminated_like_ctrl_c(), Bus(listen="127.0.0.1:0") as bus, _wire(bus) as (relay, relay_url):
        reporter = bus.spawn(Reporter, progress, name="reporter")
        processes: list[ProcessFleet] = []
        coordinator = bus.spawn(
            Coordinator, _plan(run, relay, processes), reporter, result, name="coordinator"
        )
        coordinator.watch(lambda down: _coordinator_ended(down, result))
        coordinator.ask(Coordinator.Begin()).get(timeout=START_TIMEOUT)
        environment = bus.credentials_env() | {"AGENTBUS_URL": relay_url} | _ONE_THREAD_EACH
        processes.append(
            ProcessFleet(bus, DocumentWorker, run.workers, name="worker", environment=environment)
        )
        Thread(target=load_library, name="demo-import", daemon=True).start()  # meanwhile
        try:
            return result.get()
        finally:
            _stop(processes[0], coordinator, reporter)


def _plan(run: Run, relay: Relay, processes: list[ProcessFleet]) -> Plan:
    def kill(node: str) -> None:
        for process in processes[0].processes:
            if process.node == node:
                os.kill(process.process_id, signal.SIGKILL)

    return Plan(
        job=run.job,
        ledger=Ledger(run.sources),
        workers=run.workers,
        chaos=Chaos(len(run.sources), enabled=run.chaos),
        kill=kill,
        cut_at=relay.cut_at,
        file_timeout=FILE_TIMEOUT if run.job.endpoint is None else MODEL_FILE_TIMEOUT,
    )


def _stop(fleet: ProcessFleet, coordinator: AgentRef, reporter: AgentRef) -> None:
    """End the processes first, then who would report their end; the reporter prints what it was told."""
    coordinator.stop(now=True).get(timeout=STOP_TIMEOUT)
    fleet.stop().get(timeout=STOP_TIMEOUT)
    reporter.stop().get(timeout=STOP_TIMEOUT)


def _coordinator_ended(down: AgentDown, result: Future[Result]) -> None:
    result.try_set_exception(
        AgentStopped(f"the coordinator has ended before its work was done: {down.reason}")
    )


@contextmanager
def _wire(bus: Bus) -> Generator[tuple[Relay, str]]:
    """The relay, on the agents' loop, from start to stop."""
    relay = Relay(bus.url or "")
    url = bus.runtime.agents.run(relay.start()).get()
    try:
        yield relay, url
    finally:
        bus.runtime.agents.run(relay.stop()).get(timeout=STOP_TIMEOUT)
