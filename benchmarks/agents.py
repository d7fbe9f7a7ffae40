"""Agents that talk: through the hub between two processes, beside nats-py's request/reply; on one loop, beside autogen-core."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.process import LOAD_CORE, running
from benchmarks.programs import AUTOGEN_PYTHON, ROOT, command, figures
from benchmarks.servers import Server, hub, nats
from benchmarks.table import Table, interleaved

SECONDS = 2.0
WINDOWS = (1, 64)

Figures = dict[str, float]


def measure(server: Server) -> dict[str, Figures]:
    """One run of every window: the requester and the responder are processes of their own, on the load's core."""
    answer, ways = _programs(server)
    results: dict[str, Figures] = {}
    with running(command(*answer), ready="ready", core=LOAD_CORE, cwd=ROOT):
        for way, (program, target, *more) in ways.items():
            for window in WINDOWS:
                words = command(program, target, window, SECONDS, *more)
                results[f"{way}|{window} in flight"] = figures(words)
    return results


def _programs(server: Server) -> tuple[tuple[str, str], dict[str, tuple[str, ...]]]:
    """What answers, and what asks: name of the row → program, server, further words."""
    if server.name == "agentbus":
        url = f"ws://127.0.0.1:{server.port}"
        ways = {f"agentbus {how}": ("ask_agents", url, how) for how in ("ask", "tell")}
        return ("answer_agents", url), ways
    port = str(server.port)
    return ("answer_nats", port), {"nats-py request": ("ask_nats", port)}


def run(runs: int) -> list[Table]:
    """Measure all in turn."""
    return [*through_the_hub(runs), *on_one_loop(runs)]


def through_the_hub(runs: int) -> list[Table]:
    """Two processes and a server: asks, tells until their outcome is known, and nats-py's requests."""
    servers: list[Callable[[], AbstractContextManager[Server]]] = (
        [nats] if shutil.which("nats-server") else []
    )
    rate = Table(
        "Agents of two processes: messages per second through the server", ["what"], lower_is_better=False
    )
    cpu = Table(
        "Agents of two processes: CPU seconds of the sender per 100 000", ["what"], lower_is_better=True
    )
    for settings in interleaved([*servers, hub], measure, runs).values():
        for setting, results in settings.items():
            row, window = setting.split("|")
            rate.add(row, window, [result["rate"] for result in results])
            cpu.add(row, window, [result["cpu_per_100k"] for result in results])
    return [rate, cpu]


def on_one_loop(runs: int) -> list[Table]:
    """Two async agents on one loop: messages per second."""
    kinds = (
        {"autogen-core": command("agent_autogen", python=AUTOGEN_PYTHON)} if AUTOGEN_PYTHON.exists() else {}
    )
    kinds["agentbus AsyncAgentActor"] = command("agent_actors")
    table = Table("Two async agents on one loop: messages per second", ["agents"], lower_is_better=False)
    seen: dict[str, list[Figures]] = {}
    for _ in range(runs):
        for name, words in kinds.items():
            seen.setdefault(name, []).append(figures(words))
    for name, results in seen.items():
        for what in ("tell", "ask"):
            table.add(name, what, [result[what] for result in results])
    return [table]
