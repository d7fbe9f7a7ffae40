"""Chunks per second of one stream: on one loop, and from process to process through the hub."""

from __future__ import annotations

from benchmarks.process import LOAD_CORE, running
from benchmarks.programs import command, figures
from benchmarks.servers import hub
from benchmarks.table import Table

SECONDS = 2.0


def through_the_hub() -> float:
    """Measure with a hub and two processes, all of them new."""
    with hub() as server:
        url = f"ws://127.0.0.1:{server.port}"
        with running(command("stream_agents", "host", url), ready="ready", core=LOAD_CORE):
            return figures(command("stream_agents", "read", url, SECONDS))["rate"]


def run(runs: int) -> list[Table]:
    """Measure both in turn."""
    here: list[float] = []
    between: list[float] = []
    for _ in range(runs):
        here.append(figures(command("stream_agents", "here", SECONDS))["rate"])
        between.append(through_the_hub())
    table = Table("Chunks per second of one stream", ["where"], lower_is_better=False)
    table.add("one loop", "chunks", here)
    table.add("two processes through the hub", "chunks", between)
    return [table]
