"""Queues: jobs per second, put and then run, or run while they are put, and how long a job waits; with 1 and 2 worker processes.

Each job is a number and a hundred characters, and its handler writes the time into a ledger. The server has core 0; the producer and the
workers may use every core. Every put is awaited: the queue has the job. Settings are each library's recommendation or what is fastest here.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.queue_load import Ledger
from benchmarks.queue_systems import System, installed_queues
from benchmarks.table import Table

PROCESSES = (1, 2)
SYNCS = 50
WINDOW = 100
TRICKLED = 200
PER_SECOND = 50.0
WARM_UP = 10
"""The first jobs of a trickle, which don't count: connections and code are new to them."""


@dataclass
class Figures:
    """One run of one system: rates per second, delays in seconds from put to start, seconds of a sync of the disk before it."""

    sync: float
    puts: float
    drained: float
    steady: float
    median_delay: float
    p99_delay: float


def measure(system: System, processes: int) -> Figures:
    """One run with so many worker processes; every part of it with a server of its own."""
    sync = sync_seconds()
    puts, drained = put_then_run(system, processes)
    delays = trickled(system, processes)
    return Figures(
        sync=sync,
        puts=puts,
        drained=drained,
        steady=put_and_run(system, processes),
        median_delay=statistics.median(delays),
        p99_delay=statistics.quantiles(delays, n=100)[98],
    )


def sync_seconds() -> float:
    """Median of what it takes to have a few bytes on the disk: where it differs much, durable queues can't be compared."""
    taken: list[float] = []
    with tempfile.TemporaryFile() as file:
        for _ in range(SYNCS):
            file.write(b"x" * 200)
            file.flush()
            start = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - start)
    return statistics.median(taken)


@contextlib.contextmanager
def trial(system: System, jobs: int) -> Generator[Ledger]:
    """Have a system started, with a ledger for so many jobs; say if any of them ran more than once."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.new(Path(folder) / "ledger", jobs)
        try:
            system.start(ledger)
            yield ledger
        finally:
            system.stop()
        if again := ledger.ran_again():
            print(f"{system.name}: {again} jobs ran more than once", file=sys.stderr)


def put_then_run(system: System, processes: int) -> tuple[float, float]:
    """Put all jobs while nobody works, then run them; gives both rates."""
    jobs = system.jobs
    with trial(system, jobs) as ledger:
        puts = jobs / system.put("burst", jobs, WINDOW)
        with system.work(processes):
            system.drain(jobs)
        _, started = ledger.times(jobs)
        return puts, (jobs - 1) / (max(started) - min(started))


def put_and_run(system: System, processes: int) -> float:
    """Put all jobs while the workers run them; gives the rate from the first put to the last start."""
    jobs = system.jobs
    with trial(system, jobs) as ledger, system.work(processes):
        system.put("burst", jobs, WINDOW)
        system.drain(jobs)
        put, started = ledger.times(jobs)
        return jobs / (max(started) - min(put))


def trickled(system: System, processes: int) -> list[float]:
    """Put few jobs; gives the seconds from put to start of each."""
    with trial(system, TRICKLED) as ledger, system.work(processes):
        system.put("trickle", TRICKLED, PER_SECOND)
        system.drain(TRICKLED)
        put, started = ledger.times(TRICKLED)
        return [at - since for since, at in zip(put, started, strict=True)][WARM_UP:]


def run(runs: int) -> list[Table]:
    """Measure every system in turn."""
    head = ["queue"]
    puts = Table(f"Queues: puts per second, {WINDOW} in flight, nobody works", head, lower_is_better=False)
    drained = Table("Queues: jobs per second, put before", head, lower_is_better=False)
    steady = Table("Queues: jobs per second while they are put", head, lower_is_better=False)
    middle = Table(
        f"Queues: median delay from put to start at {PER_SECOND:.0f} jobs/s (ms)", head, lower_is_better=True
    )
    worst = Table(
        f"Queues: p99 delay from put to start at {PER_SECOND:.0f} jobs/s (ms)", head, lower_is_better=True
    )
    syncs = Table("Queues: a sync of the disk before each measurement (ms)", head)
    for (name, processes), figures in _measured(runs).items():
        column = "1 process" if processes == 1 else f"{processes} processes"
        drained.add(name, column, [f.drained for f in figures])
        steady.add(name, column, [f.steady for f in figures])
        middle.add(name, column, [f.median_delay * 1000 for f in figures])
        worst.add(name, column, [f.p99_delay * 1000 for f in figures])
        syncs.add(name, column, [f.sync * 1000 for f in figures])
        if processes == PROCESSES[0]:
            puts.add(name, "puts", [f.puts for f in figures])
    return [puts, drained, steady, middle, worst, syncs]


def _measured(runs: int) -> dict[tuple[str, int], list[Figures]]:
    systems = installed_queues()
    seen: dict[tuple[str, int], list[Figures]] = {}
    for _ in range(runs):
        for processes in PROCESSES:
            for system in systems:
                seen.setdefault((system.name, processes), []).append(measure(system, processes))
    return seen
