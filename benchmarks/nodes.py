"""Nodes per hub: what a server spends on each node that joins, and on each that idles; beside nats-py connections with one inbox each.

A node is a `Bus` with one agent, in the default settings; it has joined when it knows the agents of all others. The hub looks after a silent
connection every 20 s, so nats-server is told to do the same. Two processes share the load's core.
All join at once, so those who answer are joining themselves; who gets no answer asks again after a second, and joins a few seconds later.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from benchmarks.process import LOAD_CORE, cpu_seconds, resident_bytes, running
from benchmarks.programs import ROOT, command
from benchmarks.servers import Server, hub, nats
from benchmarks.table import Table

PROCESSES = 2
SIZES = (100, 500)
WARM_UP = 20
SETTLE = 3.0
IDLE = 20.0
"""Seconds of idling that are watched: the time from one look after a silent connection to the next."""


@dataclass
class Figures:
    """One run at one size: bytes and CPU seconds of the server, the rate, and the CPU of both loads over the time of joining."""

    bytes_per_node: float
    cpu_per_join: float
    cpu_per_idle_minute: float
    joins_per_second: float
    load_share: float


def measure(server: Server, size: int) -> Figures:
    """Warm up, join, settle, idle."""
    with joined(server, WARM_UP):
        pass
    time.sleep(SETTLE)
    memory, cpu = resident_bytes(server.pid), cpu_seconds(server.pid)
    with joined(server, size) as loads:
        joining = cpu_seconds(server.pid) - cpu
        time.sleep(SETTLE)
        memory, cpu = resident_bytes(server.pid) - memory, cpu_seconds(server.pid)
        time.sleep(IDLE)
        idling = cpu_seconds(server.pid) - cpu
    took = max(load["end"] for load in loads) - min(load["start"] for load in loads)
    return Figures(
        bytes_per_node=memory / size,
        cpu_per_join=joining / size,
        cpu_per_idle_minute=idling / IDLE * 60 / size,
        joins_per_second=size / took,
        load_share=sum(load["cpu"] for load in loads) / took,
    )


@contextlib.contextmanager
def joined(server: Server, size: int) -> Generator[list[dict[str, float]]]:
    """So many nodes from two processes, complete and then idle until the block ends; gives what each process says of its joining."""
    with contextlib.ExitStack() as stack:
        loads = [stack.enter_context(_load(server, size)) for _ in range(PROCESSES)]
        yield _told_to_go(loads)


def _load(server: Server, size: int) -> AbstractContextManager[tuple[subprocess.Popen[str], str]]:
    if server.name == "agentbus":
        words = command("idle_nodes", f"ws://127.0.0.1:{server.port}", size // PROCESSES, size)
    else:
        words = command("idle_connections", server.port, size // PROCESSES)
    return running(words, ready="ready", core=LOAD_CORE, cwd=ROOT, piped=True)


def _told_to_go(loads: Sequence[tuple[subprocess.Popen[str], str]]) -> list[dict[str, float]]:
    for process, _ in loads:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return [json.loads(_line(process)) for process, _ in loads]


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    if line := process.stdout.readline():
        return line
    raise RuntimeError(f"{process.args!r} ended before all had joined")


def measured(runs: int) -> dict[tuple[str, str], list[Figures]]:
    """Measure all in turn, each with a server of its own: what one size leaves behind would serve the next.

    Returns:
        Row and column → one figure a run.
    """
    servers: dict[str, Callable[[], AbstractContextManager[Server]]] = {"agentbus hub, nodes": hub}
    if shutil.which("nats-server"):
        servers["nats-server, nats-py connections"] = lambda: nats(f"ping_interval: {IDLE:.0f}")
    seen: dict[tuple[str, str], list[Figures]] = {}
    for _ in range(runs):
        for size in SIZES:
            for row, factory in servers.items():
                with factory() as server:
                    seen.setdefault((row, f"{size} nodes"), []).append(measure(server, size))
    return seen


def run(runs: int) -> list[Table]:
    """Measure both."""
    head = ["server"]
    memory = Table("Nodes per hub: memory of the server per node (KB)", head, lower_is_better=True)
    joining = Table("Nodes per hub: CPU of the server per join (ms)", head, lower_is_better=True)
    idling = Table(
        "Nodes per hub: CPU of the server per idle node and minute (ms)", head, lower_is_better=True
    )
    rate = Table("Nodes per hub: joins per second, until each knows all", head, lower_is_better=False)
    share = Table("Nodes per hub: CPU share of the load while joining (near 1: it was the bottleneck)", head)
    for (row, size), figures in measured(runs).items():
        memory.add(row, size, [f.bytes_per_node / 1024 for f in figures])
        joining.add(row, size, [f.cpu_per_join * 1000 for f in figures])
        idling.add(row, size, [f.cpu_per_idle_minute * 1000 for f in figures])
        rate.add(row, size, [f.joins_per_second for f in figures])
        share.add(row, size, [f.load_share for f in figures])
    return [memory, joining, idling, rate, share]
