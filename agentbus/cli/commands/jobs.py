"""`agentbus jobs tail`: what becomes of jobs, as it happens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from agentbus.cli import console
from agentbus.cli.help import Command, Group
from agentbus.cli.joining import Door, as_node, find_queue, joined, queue_names
from agentbus.cli.signals import terminated_like_ctrl_c

if TYPE_CHECKING:
    from agentbus.agents import Bus
    from agentbus.agents.queues.core.job import JobStatus
    from agentbus.agents.queues.handle import Queue

jobs = typer.Typer(cls=Group, no_args_is_help=True, help="Follow jobs.")

NEW_QUEUES_EVERY = 1.0
"""Seconds between two looks for queues that were not there before."""


def tail(
    door: Door,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="QUEUE", help="Their names.", show_default=False)
    ] = None,
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=0, help="End after that many; 0: never.")] = 0,
) -> None:
    """Print a line for every change of a job, until Ctrl-C; of all queues if none is named."""
    try:
        with terminated_like_ctrl_c(), joined(door) as bus:
            for name in names or ():
                find_queue(bus, name)
            asyncio.run(_Tail(bus, door, count).follow(names or []))
    except KeyboardInterrupt:
        return  # the way to end it


jobs.command("tail", cls=Command)(as_node(tail))


@jobs.callback()
def group() -> None:
    """Follow jobs."""


class _Tail:
    """Follows queues, one task each, until so many lines are printed."""

    def __init__(self, bus: Bus, door: Door, count: int) -> None:
        self._bus = bus
        self._json = door.json
        self._left = count
        self._over = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def follow(self, names: list[str]) -> None:
        """Follow these queues, or all that there are and will be."""
        try:
            while not self._over.is_set():
                for name in names or queue_names(self._bus):
                    if name not in self._tasks:
                        self._tasks[name] = asyncio.create_task(self._one(self._bus.queue(name)))
                await self._pause()
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def _pause(self) -> None:
        over = asyncio.create_task(self._over.wait())
        done, _ = await asyncio.wait(
            [over, *self._tasks.values()],
            timeout=NEW_QUEUES_EVERY,
            return_when=asyncio.FIRST_EXCEPTION,
        )
        over.cancel()
        for task in done - {over}:
            task.result()

    async def _one(self, queue: Queue) -> None:
        async with queue.tail() as changes:
            console.say(f"following {queue.name}; Ctrl-C ends")
            async for status in changes:
                self._print(status)

    def _print(self, status: JobStatus) -> None:
        from agentbus.cli.queue_tables import job_line

        if self._over.is_set():
            return
        console.data_json(status) if self._json else console.data(job_line(status))
        self._left -= 1
        if self._left == 0:
            self._over.set()
