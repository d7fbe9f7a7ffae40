"""`agentbus schedules`: the schedules that a queue keeps."""

from __future__ import annotations

from typing import Annotated

import typer

from agentbus.cli import console
from agentbus.cli.exits import failed
from agentbus.cli.help import Command, Group
from agentbus.cli.joining import Door, QueueName, as_node, find_queue, joined

schedules = typer.Typer(cls=Group, no_args_is_help=True, help="Look at the schedules that queues keep.")


def list_schedules(door: Door, name: QueueName) -> None:
    """List the schedules of a queue."""
    from agentbus.cli.queue_tables import schedule_table

    with joined(door) as bus:
        found = find_queue(bus, name).schedules(timeout=door.timeout).get()
    if door.json:
        for each in found:
            console.data_json(each)
    elif found:
        console.show(schedule_table(found))
    else:
        console.say(f"{name} keeps no schedule")


def drop(
    door: Door,
    name: QueueName,
    schedule: Annotated[str, typer.Argument(metavar="SCHEDULE", help="Which of them.", show_default=False)],
) -> None:
    """Forget a schedule; jobs that it has put stay."""
    with joined(door) as bus:
        queue = find_queue(bus, name)
        dropped = queue.drop_schedule(schedule, timeout=door.timeout).get()
    if not dropped:
        raise failed(f"{name} keeps no schedule {schedule!r}")
    if door.json:
        console.data_json({"queue": name, "schedule": schedule, "dropped": True})
    else:
        console.say(f"{name} keeps {schedule} no more")


schedules.command("ls", cls=Command)(as_node(list_schedules))
schedules.command("drop", cls=Command)(as_node(drop))
