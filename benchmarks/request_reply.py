"""Request → server → peer → server → reply: our client through our hub, nats-py through nats-server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.process import cpu_seconds
from benchmarks.programs import command, figures
from benchmarks.servers import Server, hub, nats
from benchmarks.table import Table, interleaved

SECONDS = 2.0
WINDOWS = (1, 64)


def measure(server: Server) -> dict[str, dict[str, float]]:
    """One run of every window: requests per second, and CPU of client and server per 100 000."""
    results: dict[str, dict[str, float]] = {}
    for window in WINDOWS:
        before = cpu_seconds(server.pid)
        if server.name == "agentbus":
            result = figures(command("request_agentbus", f"ws://127.0.0.1:{server.port}", window, SECONDS))
        else:
            result = figures(command("request_nats", server.port, window, SECONDS))
        spent = cpu_seconds(server.pid) - before
        results[f"{window} in flight"] = {**result, "server": spent / (result["rate"] * SECONDS) * 100_000}
    return results


def run(runs: int) -> list[Table]:
    """Measure both in turn."""
    servers: list[Callable[[], AbstractContextManager[Server]]] = [hub]
    if shutil.which("nats-server"):
        servers.append(nats)
    rate = Table(
        "Request/reply round trips per second, both clients on one loop", ["client"], lower_is_better=False
    )
    cpu = Table("Request/reply: client CPU seconds per 100 000", ["client"], lower_is_better=True)
    theirs = Table("Request/reply: server CPU seconds per 100 000", ["client"], lower_is_better=True)
    for name, windows in interleaved(servers, measure, runs).items():
        label = "agentbus client and hub" if name == "agentbus" else "nats-py and nats-server"
        for window, results in windows.items():
            rate.add(label, window, [result["rate"] for result in results])
            cpu.add(label, window, [result["cpu_per_100k"] for result in results])
            theirs.add(label, window, [result["server"] for result in results])
    return [rate, cpu, theirs]
