"""`agentbus queue`: look at queues, and steer them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agentbus.cli import console
from agentbus.cli.commands.queue_host import host
from agentbus.cli.commands.queue_put import put
from agentbus.cli.commands.queue_stats import list_queues, stats
from agentbus.cli.exits import failed, misused
from agentbus.cli.help import Command, Group
from agentbus.cli.joining import Door, QueueName, as_node, find_queue, joined
from agentbus.errors import NoSuchJobError

if TYPE_CHECKING:
    from agentbus.agents.queues.core.job import JobStatus, Value
    from agentbus.agents.queues.handle import Queue

queue = typer.Typer(cls=Group, no_args_is_help=True, help="Host queues, look at them, and steer them.")

PAGE = 500

Ids = Annotated[list[str] | None, typer.Argument(metavar="JOB", help="Ids of jobs.", show_default=False)]


class State(StrEnum):
    """Which jobs."""

    QUEUED = "queued"
    DELAYED = "delayed"
    LEASED = "leased"
    WAITING = "waiting"
    DONE = "done"
    DEAD = "dead"
    FAILED = "failed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


StateOption = Annotated[
    State | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help="queued, delayed, leased, waiting, done, failed, rejected, cancelled; dead: failed or rejected.",
    ),
]


# -- looking -------------------------------------------------------------------------------------------------


def peek(
    door: Door,
    name: QueueName,
    ids: Ids = None,
    *,
    state: StateOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=PAGE, help="Jobs at most.")] = 20,
) -> None:
    """Show jobs with their messages: those named, or those of a state; without either what goes next."""
    if ids and state:
        raise misused("name jobs or a --state, not both")
    with joined(door) as bus:
        found = find_queue(bus, name)
        if ids:
            jobs = [found.job(each).status(timeout=door.timeout) for each in ids]
            statuses = [each.get() for each in jobs]
        else:
            page = found.jobs(state.value if state else "", limit=limit, timeout=door.timeout).get()
            statuses = list(page.jobs)
        bodies = _bodies(found, statuses, door.timeout)
    _print(statuses, bodies, door, whole=bool(ids))


def _bodies(found: Queue, jobs: list[JobStatus], timeout: float) -> list[Value | None]:
    asked = [found.job(job.id).body(timeout=timeout).quiet() for job in jobs]
    bodies: list[Value | None] = []
    for each in asked:
        try:
            bodies.append(each.get())
        except NoSuchJobError:  # dropped since it was listed
            bodies.append(None)
    return bodies


def _print(jobs: list[JobStatus], bodies: list[Value | None], door: Door, *, whole: bool) -> None:
    from agentbus.cli.queue_tables import job_json, job_table

    if door.json:
        for job, body in zip(jobs, bodies, strict=True):
            console.data_json(job_json(job, body))
        return
    console.show(job_table(jobs, bodies))
    for job in jobs if whole else ():
        for line in job.traceback.splitlines():
            console.data(line)


# -- steering ------------------------------------------------------------------------------------------------

All = Annotated[bool, typer.Option("--all", help="Every job that it could concern.")]


def retry(
    door: Door, name: QueueName, ids: Ids = None, *, state: StateOption = None, all_: All = False
) -> None:
    """Put dead letters back, with all attempts before them; start delayed jobs now."""
    _steer(door, name, "retry", ids, state, every=all_)


def drop(
    door: Door, name: QueueName, ids: Ids = None, *, state: StateOption = None, all_: All = False
) -> None:
    """Forget jobs that are over, or have not begun."""
    _steer(door, name, "drop", ids, state, every=all_)


def cancel(door: Door, name: QueueName, ids: Ids = None, *, state: StateOption = None) -> None:
    """Cancel jobs, queued or running, with all steps of flows."""
    _steer(door, name, "cancel", ids, state, every=False)


def pause(door: Door, name: QueueName) -> None:
    """Have no more jobs begin; those that run go on."""
    _set_paused(door, name, "pause")


def resume(door: Door, name: QueueName) -> None:
    """Have jobs begin again."""
    _set_paused(door, name, "resume")


_DONE = {"retry": "put back", "drop": "dropped", "cancel": "cancelled"}


def _steer(
    door: Door,
    name: str,
    action: Literal["retry", "drop", "cancel"],
    ids: list[str] | None,
    state: State | None,
    *,
    every: bool,
) -> None:
    if sum((bool(ids), state is not None, every)) != 1 or not all(ids or ()):
        hint = "" if action == "cancel" else ", or --all"
        raise misused(f"say which jobs: by their ids, by a --state{hint}")
    with joined(door) as bus:
        found = find_queue(bus, name)
        act = {"retry": found.retry, "drop": found.drop, "cancel": found.cancel}[action]
        if state is None:
            count = act(ids or (), timeout=door.timeout).get()
        else:
            chosen = _all_ids(found, state, door.timeout)
            pages = (chosen[at : at + PAGE] for at in range(0, len(chosen), PAGE))
            count = sum(act(page, timeout=door.timeout).get() for page in pages)
    _report(door, name, action, count)
    if ids and not count:
        raise failed(f"none of these jobs could be {_DONE[action]}")


def _all_ids(found: Queue, state: State, timeout: float) -> list[str]:
    ids: list[str] = []
    page = found.jobs(state.value, limit=PAGE, timeout=timeout).get()
    ids += [job.id for job in page.jobs]
    while page.after:
        page = found.jobs(state.value, limit=PAGE, after=page.after, timeout=timeout).get()
        ids += [job.id for job in page.jobs]
    return ids


def _report(door: Door, name: str, action: str, count: int) -> None:
    if door.json:
        console.data_json({"queue": name, "action": action, "jobs": count})
    else:
        console.say(f"{count} job{'' if count == 1 else 's'} of {name} {_DONE[action]}")


def _set_paused(door: Door, name: str, action: Literal["pause", "resume"]) -> None:
    with joined(door) as bus:
        found = find_queue(bus, name)
        act = found.pause if action == "pause" else found.resume
        waiting = act(timeout=door.timeout).get()
    if door.json:
        console.data_json({"queue": name, "action": action, "jobs": waiting})
    else:
        console.say(f"{name} is {'paused' if action == 'pause' else 'open'}; {waiting} jobs wait")


queue.command("host", cls=Command)(as_node(host, leave_out=("timeout", "json")))
queue.command("ls", cls=Command)(as_node(list_queues))
queue.command("stats", cls=Command)(as_node(stats))
queue.command("peek", cls=Command)(as_node(peek))
queue.command("put", cls=Command)(as_node(put))
queue.command("retry", cls=Command)(as_node(retry))
queue.command("drop", cls=Command)(as_node(drop))
queue.command("cancel", cls=Command)(as_node(cancel))
queue.command("pause", cls=Command)(as_node(pause))
queue.command("resume", cls=Command)(as_node(resume))
