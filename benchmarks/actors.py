"""Actors in one process: tell and ask, LoopActor against pykka's ThreadingActor, each in a process of its own that may use every core."""

from __future__ import annotations

from benchmarks.programs import command, figures
from benchmarks.table import Table

KINDS = {
    "pykka ThreadingActor": ("actors", "pykka"),
    "agentbus LoopActor, on its loop": ("actors", "loop"),
    "agentbus LoopActor, from a thread": ("actors", "loop-from-thread"),
}


def run(runs: int) -> list[Table]:
    """Every kind of actor in turn."""
    tells = Table("Actor tells per second", ["actor"], lower_is_better=False)
    asks = Table("Actor asks per second", ["actor"], lower_is_better=False)
    seen: dict[str, list[dict[str, float]]] = {}
    for _ in range(runs):
        for name, words in KINDS.items():
            seen.setdefault(name, []).append(figures(command(*words), pinned=False))
    for name, results in seen.items():
        tells.add(name, "tell", [result["tell"] for result in results])
        asks.add(name, "ask", [result["ask"] for result in results])
    return [tells, asks]
