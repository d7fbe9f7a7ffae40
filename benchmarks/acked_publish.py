"""Acked publishes through our hub: our client and the official Python SDK, 1 and 64 in flight."""

from __future__ import annotations

from benchmarks.programs import SDK_PYTHON, command, figures
from benchmarks.servers import hub
from benchmarks.table import Table

SECONDS = 2.0


def run(runs: int) -> list[Table]:
    """Both clients in turn against one hub."""
    rate = Table("Acked publishes per second through our hub", ["client"], lower_is_better=False)
    cpu = Table("Acked publishes: client CPU seconds per 100 000", ["client"], lower_is_better=True)
    clients = {"agentbus": ("publish_agentbus", None)}
    if SDK_PYTHON.exists():
        clients["metered-realtime"] = ("publish_metered", SDK_PYTHON)
    seen: dict[tuple[str, str], list[dict[str, float]]] = {}
    with hub() as server:
        for _ in range(runs):
            for window in (1, 64):
                for name, (program, python) in clients.items():
                    arguments = (f"ws://127.0.0.1:{server.port}", window, SECONDS)
                    words = (
                        command(program, *arguments, python=python)
                        if python
                        else command(program, *arguments)
                    )
                    seen.setdefault((name, f"{window} in flight"), []).append(figures(words))
    for (name, window), results in seen.items():
        rate.add(name, window, [result["rate"] for result in results])
        cpu.add(name, window, [result["cpu_per_100k"] for result in results])
    return [rate, cpu]
