"""Two hubs over NATS beside one alone: fan-out to subscribers at both, and requests from one to the other; CPU of all servers together."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

from benchmarks.fanout import WINDOWS, Figures, Load
from benchmarks.process import LOAD_CORE, cpu_seconds, pin, running
from benchmarks.programs import command, figures
from benchmarks.request_reply import SECONDS
from benchmarks.request_reply import WINDOWS as REQUESTS
from benchmarks.servers import Hub, Server, nats
from benchmarks.table import Table, interleaved

ALONE = "1 hub"
TWO = "2 hubs over NATS"


@dataclass(frozen=True)
class Hubs(Server):
    """Hubs that are one; `port` and `pid` are the first one's.

    Attributes:
        ports: of all hubs.
        pids: of all that works for them, nats-server included.
    """

    ports: list[int] = field(default_factory=list[int])
    pids: list[int] = field(default_factory=list[int])


def hubs(name: str, count: int) -> Callable[[], AbstractContextManager[Hubs]]:
    """So many hubs, and a nats-server if there is more than one."""

    @contextlib.contextmanager
    def start() -> Generator[Hubs]:
        with ExitStack() as stack:
            pids, ports, options = list[int](), list[int](), ["--log-level", "warning"]
            if count > 1:
                server = stack.enter_context(nats())
                pids.append(server.pid)
                options += ["--backplane", f"nats://127.0.0.1:{server.port}"]
            for _ in range(count):
                words = [sys.executable, "-m", "agentbus", "serve", "--dev", "--port", "0", *options]
                process, line = stack.enter_context(running(words, ready="agentbus hub ready on"))
                pids.append(process.pid)
                ports.append(int(line.rsplit(":", 1)[1]))
            yield Hubs(name, pids[-1], ports[0], Hub(), ports=ports, pids=pids)

    return start


class SpreadLoad(Load):
    """Subscribers at each hub in turn, the publisher at the first."""

    def __init__(self, server: Hubs) -> None:
        self._hubs = server
        self._connected = 0
        super().__init__(server)

    def _connect(self) -> socket.socket:
        port = self._hubs.ports[self._connected % len(self._hubs.ports)]
        self._connected += 1
        connection = socket.create_connection(("127.0.0.1", port), 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._hubs.dialect.greet(connection, port)
        return connection

    def server_cpu(self) -> float:
        """CPU seconds of all servers so far."""
        return sum(cpu_seconds(pid) for pid in self._hubs.pids)


def fan_out(server: Hubs) -> dict[str, Figures]:
    """One run of every window."""
    load = SpreadLoad(server)
    try:
        return {f"W={window}": load.run(window) for window in WINDOWS}
    finally:
        load.close()


def requests(server: Hubs) -> dict[str, dict[str, float]]:
    """One run of every window: requester and responder at different hubs, if there are several."""
    results: dict[str, dict[str, float]] = {}
    first, last = (f"ws://127.0.0.1:{port}" for port in (server.ports[0], server.ports[-1]))
    for window in REQUESTS:
        before = sum(cpu_seconds(pid) for pid in server.pids)
        result = figures(command("request_agentbus", first, window, SECONDS, last))
        spent = sum(cpu_seconds(pid) for pid in server.pids) - before
        results[f"{window} in flight"] = {**result, "server": spent / (result["rate"] * SECONDS) * 100_000}
    return results


def run(runs: int) -> list[Table]:
    """Measure one hub and two in turn."""
    servers = [hubs(ALONE, 1)]
    if shutil.which("nats-server"):
        servers.append(hubs(TWO, 2))
    else:
        print("nats-server is not installed and left out (make setup-services)", file=sys.stderr)
    pin(LOAD_CORE)
    spread = interleaved(servers, fan_out, runs)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    title = "Many hubs, fan-out 1 → 100"
    cpu = Table(f"{title}: CPU seconds of all servers per 100 000 deliveries", ["hubs"], lower_is_better=True)
    rate = Table(f"{title}: deliveries per second, all servers on one core", ["hubs"], lower_is_better=False)
    for name, windows in spread.items():
        for window, found in windows.items():
            cpu.add(name, window, [one.cpu_per_100k for one in found])
            rate.add(name, window, [one.deliveries_per_second for one in found])
    trips = Table(
        "Many hubs, request/reply: round trips per second, all servers on one core",
        ["hubs"],
        lower_is_better=False,
    )
    theirs = Table(
        "Many hubs, request/reply: CPU seconds of all servers per 100 000", ["hubs"], lower_is_better=True
    )
    for name, windows in interleaved(servers, requests, runs).items():
        for window, results in windows.items():
            trips.add(name, window, [one["rate"] for one in results])
            theirs.add(name, window, [one["server"] for one in results])
    return [cpu, rate, trips, theirs]
