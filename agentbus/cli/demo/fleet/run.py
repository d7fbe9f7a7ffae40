"""One run: a bus with its hub and a queue, a wire that can be cut, the fleet, and who reports on it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from threading import Thread

from msgspec import Struct

from agentbus.agents import AgentDown, AgentRef, Bus, Queue, QueueOptions
from agentbus.agents.queues.parent import WorkerParent
from agentbus.agents.queues.serving import JobOptions
from agentbus.cli.demo.answers import Answers
from agentbus.cli.demo.chaos import Harm, plan_harm
from agentbus.cli.demo.fleet.coordinator import Coordinator, Plan, Result
from agentbus.cli.demo.fleet.messages import Job
from agentbus.cli.demo.fleet.reporter import Reporter
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

QUEUE = "documents"
COORDINATOR = "coordinator"
ATTEMPTS = 4
"""Workers that may end on one file before it is set aside: then it is the file that ends them."""

IN_FLIGHT = 2
"""Files that one worker has at a time: it never waits for the next, and little is lost with it."""

OPTIONS = QueueOptions(max_attempts=ATTEMPTS, retry_delay=0.1, max_retry_delay=1.0)
JOBS = JobOptions(queue=QUEUE, concurrency=IN_FLIGHT, drain_timeout=0.0)
_WORKER = "agentbus.cli.demo.fleet.worker:DocumentWorker"
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
    with (
        terminated_like_ctrl_c(),
        TemporaryDirectory(prefix="agentbus-demo-") as folder,
        Bus(listen="127.0.0.1:0") as bus,
        _wire(bus) as (relay, relay_url),
    ):
        queue = bus.queue(QUEUE, store=f"sqlite:///{folder}/jobs.db", options=OPTIONS)
        queue.ready.get(timeout=START_TIMEOUT)
        reporter = bus.spawn(Reporter, progress, name="reporter")
        parents: list[WorkerParent] = []
        coordinator = bus.spawn(
            Coordinator, _plan(run, queue, relay, parents), reporter, result, name=COORDINATOR
        )
        coordinator.watch(lambda down: _coordinator_ended(down, result))
        coordinator.ask(Coordinator.Begin()).get(timeout=START_TIMEOUT)
        environment = bus.credentials_env() | {"AGENTBUS_URL": relay_url} | _ONE_THREAD_EACH
        parents.append(WorkerParent(bus, _WORKER, run.workers, JOBS, environment, name="worker"))
        Thread(target=load_library, name="demo-import", daemon=True).start()  # meanwhile
        try:
            return result.get()
        finally:
            _stop(parents[0], coordinator, reporter)


def _plan(run: Run, queue: Queue, relay: Relay, parents: list[WorkerParent]) -> Plan:
    def kill(node: str) -> None:
        for place in parents[0].places:
            if place.process is not None and place.process.node == node:
                os.kill(place.process.process_id, signal.SIGKILL)

    def harm_at(marker: bytes, harm: Harm, on_harm: Callable[[], object]) -> None:
        strike = relay.silence_at if harm is Harm.KILL else relay.cut_at
        strike(marker, on_harm)

    return Plan(
        job=run.job,
        answers=Answers(run.sources),
        queue=queue,
        workers=run.workers,
        harm=plan_harm(len(run.sources), enabled=run.chaos),
        kill=kill,
        harm_at=harm_at,
        file_timeout=FILE_TIMEOUT if run.job.endpoint is None else MODEL_FILE_TIMEOUT,
    )


def _stop(parent: WorkerParent, coordinator: AgentRef, reporter: AgentRef) -> None:
    """End the processes first, then who would report their end; the reporter prints what it was told."""
    coordinator.stop(now=True).get(timeout=STOP_TIMEOUT)
    parent.stop().get(timeout=STOP_TIMEOUT)
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
