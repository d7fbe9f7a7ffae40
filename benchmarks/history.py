"""What a history costs the hub per acked publish, and how fast 10 000 missed messages come back."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

from benchmarks.dialects import Hub
from benchmarks.process import cpu_seconds, running
from benchmarks.programs import command, figures
from benchmarks.servers import Server
from benchmarks.table import Table

SECONDS = 2.0
WINDOW = 64
MISSED = 10_000
KINDS = ("none", "memory", "SQLite")
CONFIG = """
[limits]
messages_per_second = 0
connects_per_minute_per_address = 0
[[apps]]
id = "bench"
[[apps.publishable_keys]]
key = "pk_live_dev"
channel_patterns = ["**"]
"""
RULE = '[[apps.history]]\npattern = "bench"\n'
LARGE = "max_messages = 20000\nmax_bytes = 67108864\n"


@contextlib.contextmanager
def hub(kind: str, size: str = "") -> Generator[Server]:
    """A hub with a history of that kind for the channel that is published to, of the default size or another."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "hub.toml"
        config.write_text(CONFIG + ("" if kind == "none" else RULE + size))
        words = ["-m", "agentbus", "serve", "--config", str(config), "--port", "0", "--log-level", "warning"]
        data = ["--data-dir", folder] if kind == "SQLite" else []
        with running([sys.executable, *words, *data], ready="agentbus hub ready on") as (process, line):
            yield Server(kind, process.pid, int(line.rsplit(":", 1)[1]), Hub())


def run(runs: int) -> list[Table]:
    """Every kind of history in turn: acked publishes, then a recovery."""
    cost = Table(
        f"Acked publishes, {WINDOW} in flight: hub CPU seconds per 100 000", ["history"], lower_is_better=True
    )
    back = Table(f"Recovery of {MISSED} missed messages of 256 bytes", ["history"])
    spent: dict[str, list[float]] = {kind: [] for kind in KINDS}
    recovered: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS if kind != "none"}
    for _ in range(runs):
        for kind in KINDS:
            with hub(kind) as server:
                spent[kind].append(_publish(server))
            if kind != "none":
                with hub(kind, LARGE) as server:
                    recovered[kind].append(_recover(server))
    for kind, costs in spent.items():
        cost.add(kind, "CPU", costs)
    for kind, results in recovered.items():
        back.add(kind, "seconds", [result["seconds"] for result in results])
        back.add(kind, "hub CPU seconds", [result["hub_cpu"] for result in results])
    return [cost, back]


def _publish(server: Server) -> float:
    before = cpu_seconds(server.pid)
    result = figures(command("publish_agentbus", f"ws://127.0.0.1:{server.port}", WINDOW, SECONDS))
    return (cpu_seconds(server.pid) - before) / (result["rate"] * SECONDS) * 100_000


def _recover(server: Server) -> dict[str, float]:
    return figures(command("recover_agentbus", f"ws://127.0.0.1:{server.port}", MISSED, server.pid))
