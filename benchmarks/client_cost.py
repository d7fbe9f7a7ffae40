"""A client's CPU per received message, decoded and handed to its user: ours, the official SDK's, bare websockets + json."""

from __future__ import annotations

import json
import socket

from benchmarks.dialects import Hub
from benchmarks.process import LOAD_CORE, running
from benchmarks.programs import ROOT, SDK_PYTHON, command
from benchmarks.servers import Server, hub
from benchmarks.table import Table

MESSAGES = 100_000
BURST = 50


def receive(server: Server, words: list[str]) -> dict[str, float]:
    """Flood one receiver with messages through the hub and return the CPU it used."""
    with running(words, ready="ready", core=LOAD_CORE, cwd=ROOT, keep_output=True) as (process, _):
        publisher = socket.create_connection(("127.0.0.1", server.port), 10)
        Hub().greet(publisher, server.port)
        burst = Hub().publication() * BURST
        for _ in range(MESSAGES // BURST):
            publisher.sendall(burst)
        assert process.stdout is not None
        line = process.stdout.readline()
        publisher.close()
        return json.loads(line)


def run(runs: int) -> list[Table]:
    """Every client in turn, each in a process of its own."""
    table = Table("Client CPU per received message (µs)", ["client"], lower_is_better=True)
    clients = {"agentbus": command("receive_agentbus"), "websockets + json": command("receive_websockets")}
    if SDK_PYTHON.exists():
        clients["metered-realtime"] = command("receive_metered", python=SDK_PYTHON)
    seen: dict[str, list[float]] = {}
    with hub() as server:
        for _ in range(runs):
            for name, words in clients.items():
                result = receive(server, [*words, f"ws://127.0.0.1:{server.port}", str(MESSAGES)])
                seen.setdefault(name, []).append(result["cpu"] / MESSAGES * 1e6)
    for name, costs in seen.items():
        table.add(name, "CPU", costs)
    return [table]
