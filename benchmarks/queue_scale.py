"""Our queues at scale: a million queued jobs, how fast they are put and what they weigh; and ten thousand running jobs, whose leases are renewed.

Once for each store, however many runs are asked for: a million jobs take minutes.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.process import LOAD_CORE, cpu_seconds, resident_bytes, running
from benchmarks.programs import ROOT, command, figures
from benchmarks.queue_systems import OUR_STORES, our_host
from benchmarks.servers import Server
from benchmarks.table import Table, number

QUEUED = 1_000_000
BLOCKS = 10
FILL_TIMEOUT = 1200.0

RUNNING = 10_000
WATCHED = 60.0
"""Seconds: a lease of the default length, which is renewed three times in it."""
SETTLE = 5.0


def fill(server: Server) -> dict[str, float]:
    """Put a million jobs; gives the rates per second of the first and the last tenths, and the host's memory.

    Each rate is the median of three tenths: one of them may be disturbed.
    """
    before = resident_bytes(server.pid)
    words = command("queue_agentbus", "fill", QUEUED, BLOCKS)
    seconds = figures(words, environment=server.environment, timeout=FILL_TIMEOUT)["seconds"]
    block = QUEUED / BLOCKS
    _expect(server, queued=QUEUED)
    return {
        "first three tenths/s": block / statistics.median(seconds[:3]),
        "last three tenths/s": block / statistics.median(seconds[-3:]),
        "MB": (resident_bytes(server.pid) - before) / 1e6,
    }


def renew(server: Server) -> dict[str, float]:
    """Watch ten thousand jobs run; gives the CPU seconds a minute of the host and of the worker, and the host's with no job."""
    without = _spent(server.pid)
    figures(command("queue_agentbus", "fill", RUNNING, 1), environment=server.environment)
    words = command("queue_agentbus", "hold", RUNNING)
    environment = server.environment
    with running(words, ready="ready", core=LOAD_CORE, cwd=ROOT, environment=environment) as (worker, _):
        time.sleep(SETTLE)
        host, theirs = _spent(server.pid, worker.pid)
        _expect(server, leased=RUNNING)
    return {"host": host, "worker": theirs, "host without jobs": without[0]}


def _expect(server: Server, *, queued: int = 0, leased: int = 0) -> None:
    """See that the queue is as it should be: a lease that was not renewed has ended by now."""
    seen = figures(command("queue_agentbus", "stats"), environment=server.environment)
    if seen != {"queued": queued, "leased": leased, "redelivered": 0}:
        raise RuntimeError(f"the queue holds {seen}, not {queued} queued and {leased} leased jobs")


def _spent(*processes: int) -> list[float]:
    """CPU seconds a minute of each process, from now on."""
    before = [cpu_seconds(pid) for pid in processes]
    time.sleep(WATCHED)
    return [(cpu_seconds(pid) - cpu) / WATCHED * 60 for pid, cpu in zip(processes, before, strict=True)]


def run(runs: int) -> list[Table]:
    """Measure each store."""
    filled = Table(f"Queues: {number(QUEUED)} jobs queued", ["store"])
    what = f"{number(RUNNING)} running jobs with 3 renewals each"
    renewed = Table(f"Queues: CPU seconds a minute, {what}", ["store"])
    if not importlib.util.find_spec("agentbus.agents.queues"):
        print("this version has no queues", file=sys.stderr)
        return []
    for name, store in OUR_STORES.items():
        for table, measure in ((filled, fill), (renewed, renew)):
            with tempfile.TemporaryDirectory() as folder, our_host(store)(Path(folder)) as server:
                for column, figure in measure(server).items():
                    table.add(name, column, [figure])
    return [filled, renewed]
