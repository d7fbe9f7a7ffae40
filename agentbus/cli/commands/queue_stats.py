"""`agentbus queue ls` and `agentbus queue stats`: queues in numbers, once or as they change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from agentbus.cli import console
from agentbus.cli.joining import Door, QueueName, find_queue, joined, queue_names
from agentbus.cli.signals import terminated_like_ctrl_c
from agentbus.errors import AgentError

if TYPE_CHECKING:
    from agentbus.agents.queues.core.job import QueueStats
    from agentbus.agents.queues.handle import Queue


def list_queues(door: Door) -> None:
    """List the queues of the namespace that are hosted now."""
    from agentbus.cli.queue_tables import queue_table

    with joined(door) as bus:
        asked = [(name, bus.queue(name).stats(timeout=door.timeout).quiet()) for name in queue_names(bus)]
        found = [_or_silent(name, future.get) for name, future in asked]
        namespace = bus.namespace
    if door.json:
        for each in found:
            console.data_json(each)
    elif found:
        console.show(queue_table(found))
    else:
        console.say(f"no queue is hosted in namespace {namespace}")


def _or_silent(name: str, get: Callable[[], QueueStats]) -> QueueStats:
    from agentbus.agents.queues.core.job import QueueStats

    try:
        return get()
    except AgentError as error:
        return QueueStats(name, state=f"no answer: {error}")


def stats(
    door: Door,
    name: QueueName,
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", min=0.1, metavar="SECONDS", help="Between two looks.")
    ] = 1.0,
) -> None:
    """Show a queue in numbers; with --watch as they change."""
    try:
        with terminated_like_ctrl_c(), joined(door) as bus:
            found = find_queue(bus, name)
            if watch:
                _watch(found, door, interval)
            else:
                _print(found.stats(timeout=door.timeout).get(), door)
    except KeyboardInterrupt:
        if not watch:
            raise  # Ctrl-C is the way to end a watch, and nothing else


def _print(found: QueueStats, door: Door) -> None:
    from agentbus.cli.queue_tables import stats_table

    if door.json:
        console.data_json(found)
    else:
        console.show(stats_table(found))


def _watch(queue: Queue, door: Door, interval: float) -> None:
    if door.json or not sys.stdout.isatty():
        while True:
            console.data_json(queue.stats(timeout=door.timeout).get())
            Event().wait(interval)
    from rich.live import Live

    from agentbus.cli.queue_tables import LiveStats

    shown = LiveStats(time.monotonic)
    with Live(console=console.console(sys.stdout), auto_refresh=False) as live:
        while True:
            live.update(shown.take(queue.stats(timeout=door.timeout).get()), refresh=True)
            Event().wait(interval)
