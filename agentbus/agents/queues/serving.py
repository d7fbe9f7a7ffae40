"""A process that works for a queue until it is told to end, or has worked for long enough."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from agentbus.agents.fleet_actor import RECYCLED
from agentbus.agents.queues.fleet_plan import DRAIN_TIMEOUT
from agentbus.agents.queues.puller_messages import DrainWorker, GetWorker, WorkerReport
from agentbus.agents.ref import AgentRef
from agentbus.errors import AgentError, FutureTimeoutError
from agentbus.runtime import Future

if TYPE_CHECKING:
    from agentbus.agents.bus import Bus

LOOK_INTERVAL = 0.5
"""Seconds between two looks at how the worker is."""

ANSWER_TIMEOUT = 5.0
CLOSE_TIMEOUT = 10.0
"""Seconds that a worker gets to say how it is, and its bus to close after a drain."""

SIGNALLED = "signal"
ORPHANED = "orphan"
RECYCLE = "recycle"
LOST = "lost"
"""Why a process ends: it was asked to; its parent is gone; it has worked for long enough; its worker has
failed for good."""


class JobOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a process works for a queue.

    Attributes:
        queue: name of the queue.
        concurrency: jobs at a time.
        drain_timeout: seconds that jobs get to end, before they are handed back.
        max_jobs: jobs after which the process is replaced; None for never.
        max_memory: bytes of memory at which it is replaced; None for any.
    """

    queue: str
    concurrency: int = 1
    drain_timeout: float = DRAIN_TIMEOUT
    max_jobs: int | None = None
    max_memory: int | None = None


class ProcessReport(msgspec.Struct, frozen=True):
    """What a process tells its parent.

    Attributes:
        worker: how its worker is.
        memory: bytes that it uses.
    """

    worker: WorkerReport
    memory: int


class Signals:
    """What the process is told by signals: once to end, twice to hurry."""

    def __init__(self) -> None:
        self.over: Future[str] = Future()
        self.hurry: Future[str] = Future()

    def came(self, *_signal: Any) -> None:
        """Take a signal."""
        if not self.over.try_set(SIGNALLED):
            self.hurry.try_set(SIGNALLED)


def serve_queue(
    bus: Bus,
    worker: AgentRef,
    options: JobOptions,
    signals: Signals,
    say: Callable[[ProcessReport], object] | None,
) -> int:
    """Work until a signal, or a limit of the options; then drain.

    Args:
        bus: it has the worker, and is started.
        worker: a worker of the queue.
        options: limits, and the time to drain.
        signals: of this process.
        say: told how the process is, now and then.

    Returns:
        The exit code: 0 after a signal, 75 at a limit, 1 if the worker or the bus has ended by itself.
    """
    over = signals.over
    worker.watch(lambda _down: over.try_set(LOST))
    monitor = Monitor(worker, options, over, say)
    monitor.start()
    reason = over.get()
    if reason in {SIGNALLED, ORPHANED, RECYCLE}:
        _drain(worker, options.drain_timeout, signals)
    monitor.stop()
    with suppress(FutureTimeoutError):
        bus.drain(CLOSE_TIMEOUT).get(timeout=2 * CLOSE_TIMEOUT)
    return {SIGNALLED: 0, ORPHANED: 0, RECYCLE: RECYCLED}.get(reason, 1)


def _drain(worker: AgentRef, timeout: float, signals: Signals) -> None:
    """Let jobs end, or hand them back; a further signal hands them back at once."""

    def hurry() -> None:
        signals.hurry.get()
        worker.ask(DrainWorker(0.0)).quiet()

    threading.Thread(target=hurry, name="agentbus-hurry", daemon=True).start()
    with suppress(AgentError):
        worker.ask(DrainWorker(timeout)).get()


class Monitor:
    """Looks at a worker now and then, on a thread of its own.

    Args:
        worker: which.
        options: its limits.
        over: set when one is reached.
        say: see `serve_queue`.
    """

    def __init__(
        self,
        worker: AgentRef,
        options: JobOptions,
        over: Future[str],
        say: Callable[[ProcessReport], object] | None,
    ) -> None:
        self._worker = worker
        self._options = options
        self._over = over
        self._say = say
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="agentbus-monitor", daemon=True).start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()

    def _run(self) -> None:
        last: ProcessReport | None = None
        while not self._stopped.wait(LOOK_INTERVAL):
            try:
                report = ProcessReport(
                    self._worker.ask(GetWorker()).get(timeout=ANSWER_TIMEOUT), memory_in_use()
                )
            except (AgentError, FutureTimeoutError):
                continue
            if is_spent(report, self._options):
                self._over.try_set(RECYCLE)
            if self._say is not None and report != last:
                self._say(report)
                last = report


def is_spent(report: ProcessReport, options: JobOptions) -> bool:
    """Whether a process has worked for long enough."""
    jobs, memory = options.max_jobs, options.max_memory
    return (jobs is not None and report.worker.over >= jobs) or (
        memory is not None and report.memory > memory
    )


def memory_in_use() -> int:
    """Give the bytes of memory that this process holds now; where only its peak is known, that."""
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    import resource  # not on every system

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def say_over(descriptor: int) -> Callable[[ProcessReport], None]:
    """Give what writes reports to a parent, one JSON line each; a parent that is gone reads none."""
    encode = msgspec.json.encode

    def say(report: ProcessReport) -> None:
        with suppress(OSError):
            os.write(descriptor, encode(report) + b"\n")

    return say
