"""The queues that are compared: each with a server of its own, workers that are processes, and a producer that is one too."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Protocol

from benchmarks.dialects import Hub
from benchmarks.peers.queue_load import Ledger
from benchmarks.process import running
from benchmarks.programs import ARQ_PYTHON, PEERS, ROOT, TASKIQ_PYTHON, command, figures
from benchmarks.servers import Server, nats, redis

START_TIMEOUT = 30.0
DRAIN_TIMEOUT = 120.0
LOOK_INTERVAL = 0.02

OUR_STORES = {"SQLite": "sqlite:///{folder}/queue.db", "memory": "memory://"}
"""Name → URL; `{folder}` in it is a folder for its files."""


class QueueStalledError(RuntimeError):
    """Workers did not start, or jobs did not run, in time."""


class System(Protocol):
    """A queue under measurement. `start` and `stop` enclose one measurement, with a store that is empty."""

    name: str
    jobs: int
    """How many keep it busy for about a second."""

    def start(self, ledger: Ledger) -> None:
        """Start the server."""
        ...

    def put(self, how: str, count: int, pace: float) -> float:
        """Put jobs from a process of their own, as `queue_load.load` says; gives the seconds that it took."""
        ...

    def work(self, processes: int) -> AbstractContextManager[None]:
        """Have so many processes take jobs until the block ends; it begins when they do."""
        ...

    def drain(self, jobs: int) -> None:
        """Wait until so many jobs have run.

        Raises:
            QueueStalledError: it takes too long.
        """
        ...

    def stop(self) -> None:
        """End the server and forget all jobs."""
        ...


class Queue:
    """What the systems have in common: a server that a context manager holds, and programs.

    Args:
        name: the row in the tables.
        serve: starts the server with its files in a folder.
    """

    jobs = 4000

    def __init__(self, name: str, serve: Callable[[Path], AbstractContextManager[Server]]) -> None:
        self.name = name
        self._serve = serve
        self._held = ExitStack()
        self._ledger: Ledger | None = None
        self._server: Server | None = None

    def start(self, ledger: Ledger) -> None:
        """See `System`."""
        self._ledger = ledger
        folder = Path(self._held.enter_context(tempfile.TemporaryDirectory()))
        self._server = self._held.enter_context(self._serve(folder))

    def stop(self) -> None:
        """See `System`."""
        self._held.close()

    def put(self, how: str, count: int, pace: float) -> float:
        """See `System`."""
        words = [*self.producer(), how, str(count), str(pace)]
        return float(figures(words, pinned=False, environment=self.environment())["seconds"])

    @contextlib.contextmanager
    def work(self, processes: int) -> Generator[None]:
        """See `System`."""
        with ExitStack() as stack:
            for words in self.workers(processes):
                stack.enter_context(background(words, self.environment()))
            self._wait(f"{processes} workers", START_TIMEOUT, lambda: self.ledger.workers() >= processes)
            yield

    def drain(self, jobs: int) -> None:
        """See `System`."""
        self._wait(f"{jobs} jobs", DRAIN_TIMEOUT, lambda: self.ledger.ran(jobs) == jobs)

    def _wait(self, what: str, timeout: float, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            if time.monotonic() > deadline:
                ran = self.ledger.ran(self.ledger.jobs)
                raise QueueStalledError(f"{self.name}: no {what} after {timeout:.0f} s; {ran} jobs have run")
            time.sleep(LOOK_INTERVAL)

    @property
    def ledger(self) -> Ledger:
        """Of the measurement that runs."""
        assert self._ledger is not None
        return self._ledger

    @property
    def server(self) -> Server:
        """Of the measurement that runs."""
        assert self._server is not None
        return self._server

    # -- what differs ----------------------------------------------------------------------------------------

    def producer(self) -> list[str]:
        """The command line that puts."""
        raise NotImplementedError

    def workers(self, processes: int) -> list[list[str]]:
        """The command lines that work."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """What the programs' environment holds besides ours."""
        return {}


class Agentbus(Queue):
    """Ours: hub and queue are the server; each worker process takes a hundred jobs at once."""

    jobs = 10_000

    def producer(self) -> list[str]:
        return command("queue_agentbus", "put", self.ledger.path)

    def workers(self, processes: int) -> list[list[str]]:
        return [command("queue_agentbus", "work", self.ledger.path)] * processes

    def environment(self) -> dict[str, str]:
        return dict(self.server.environment)


class Arq(Queue):
    """arq: one process a command."""

    def producer(self) -> list[str]:
        return command("queue_arq", "put", self.server.port, self.ledger.path, python=ARQ_PYTHON)

    def workers(self, processes: int) -> list[list[str]]:
        return [
            command("queue_arq", "work", self.server.port, self.ledger.path, python=ARQ_PYTHON)
        ] * processes


class Taskiq(Queue):
    """taskiq: one command that starts the processes; it takes a hundred jobs at once in each by default."""

    def producer(self) -> list[str]:
        return command("queue_taskiq", self.ledger.path, python=TASKIQ_PYTHON)

    def workers(self, processes: int) -> list[list[str]]:
        words = ["worker", "queue_taskiq:broker", "--log-level", "WARNING", "--workers"]
        return [[str(TASKIQ_PYTHON.parent / "taskiq"), *words, str(processes)]]

    def environment(self) -> dict[str, str]:
        return {
            "REDIS_PORT": str(self.server.port),
            "LEDGER": str(self.ledger.path),
            "PYTHONPATH": str(PEERS),
        }


class JetStream(Queue):
    """JetStream: programs of our own, as its users write them."""

    jobs = 40_000

    def producer(self) -> list[str]:
        return command("queue_jetstream", "put", self.server.port, self.ledger.path)

    def workers(self, processes: int) -> list[list[str]]:
        return [command("queue_jetstream", "work", self.server.port, self.ledger.path)] * processes


def our_host(store: str) -> Callable[[Path], AbstractContextManager[Server]]:
    """Host a queue of ours.

    Args:
        store: see `OUR_STORES`.
    """

    @contextlib.contextmanager
    def host(folder: Path) -> Generator[Server]:
        words = command("queue_agentbus", "host", store.format(folder=folder))
        with running(words, ready="ready", cwd=ROOT) as (process, line):
            environment = json.loads(line.removeprefix("ready"))
            port = int(environment["AGENTBUS_URL"].rsplit(":", 1)[1])
            yield Server("agentbus", process.pid, port, Hub(), environment)

    return host


def durable_redis(fsync: str) -> Callable[[Path], AbstractContextManager[Server]]:
    """Run redis with its append-only file.

    Args:
        fsync: "everysec", which may lose a second's jobs with the machine, or "always", which loses none.
    """
    return lambda folder: redis("--appendonly", "yes", "--appendfsync", fsync, "--dir", str(folder))


def durable_nats(folder: Path) -> AbstractContextManager[Server]:
    """Run nats-server with JetStream; it syncs its files every two minutes."""
    return nats(f'jetstream {{ store_dir: "{folder}" }}')


@contextlib.contextmanager
def background(words: list[str], environment: Mapping[str, str]) -> Generator[subprocess.Popen[bytes]]:
    """Run a program on any core until the block ends; if the block fails, say what the program wrote.

    Args:
        words: its command line.
        environment: variables that it gets besides ours.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            words, stdout=log, stderr=log, cwd=ROOT, env={**os.environ, **environment}, start_new_session=True
        )
        try:
            yield process
        except QueueStalledError:
            log.seek(0)
            print(log.read()[-2000:].decode(errors="replace"), file=sys.stderr)
            raise
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and end it and its children if it does not."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def installed_queues() -> list[System]:
    """Every system that this machine can run; a missing one is said on stderr."""
    systems: list[System] = []
    if importlib.util.find_spec("agentbus.agents.queues"):
        systems += [Agentbus(f"agentbus, {name}", our_host(store)) for name, store in OUR_STORES.items()]
    libraries: list[tuple[type[Queue], Path]] = [(Arq, ARQ_PYTHON), (Taskiq, TASKIQ_PYTHON)]
    for kind, python in libraries:
        if shutil.which("redis-server") and python.exists():
            name = kind.__name__.lower()
            systems += [
                kind(f"{name}, redis {fsync}", durable_redis(fsync)) for fsync in ("everysec", "always")
            ]
        else:
            print(f"{kind.__name__} or redis-server is not installed and left out", file=sys.stderr)
    if shutil.which("nats-server"):
        systems.append(JetStream("JetStream, nats-py", durable_nats))
    else:
        print("nats-server is not installed and left out (make setup-services)", file=sys.stderr)
    return systems
