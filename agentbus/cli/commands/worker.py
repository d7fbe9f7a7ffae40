"""`agentbus worker`: host an agent class of the caller's in this process, or in several for a queue."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from agentbus.cli import console
from agentbus.cli.exits import misused
from agentbus.cli.options import (
    DEFAULT_URL,
    Access,
    Key,
    Namespace,
    Token,
    Trust,
    TrustOption,
    Url,
    access,
)

if TYPE_CHECKING:
    from agentbus.agents.queues.serving import JobOptions
    from agentbus.agents.queues.supervise import Door

MAX_PORT = 65_535


def worker(
    target: Annotated[str, typer.Argument(metavar="MODULE:CLASS", help="The agent's class.")],
    *,
    url: Url = DEFAULT_URL,
    key: Key = None,
    token: Token = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The agent's; default: its class's.")
    ] = None,
    replicas: Annotated[
        int, typer.Option("--replicas", min=1, metavar="N", help="How many share the name.")
    ] = 1,
    namespace: Namespace = "default",
    node: Annotated[
        str | None,
        typer.Option(
            "--node", envvar="AGENTBUS_NODE", metavar="ID", help="This node's id; default: a fresh one."
        ),
    ] = None,
    trust: TrustOption = None,
    queue: Annotated[
        str | None,
        typer.Option("--queue", metavar="NAME", help="Take the jobs of this queue, in processes."),
    ] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, metavar="N", help="How many.")] = 1,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, metavar="N", help="Jobs at a time in each.")
    ] = 1,
    max_jobs: Annotated[
        int | None,
        typer.Option("--max-jobs", min=1, metavar="N", help="Replace a process after so many."),
    ] = None,
    max_memory: Annotated[
        int | None,
        typer.Option("--max-memory", min=1, metavar="MB", help="Replace a process that holds more."),
    ] = None,
    drain_timeout: Annotated[
        float,
        typer.Option(
            "--drain-timeout",
            min=0.0,
            metavar="SECONDS",
            help="After which running jobs are handed back; a second signal does that at once.",
        ),
    ] = 30.0,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Replace the processes when a source file changes."),
    ] = False,
    health: Annotated[
        str | None,
        typer.Option("--health", metavar="[HOST:]PORT", help="Serve /healthz and /readyz there."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON line for every change.")] = False,
) -> None:
    """Host an agent until Ctrl-C or SIGTERM; with --queue, take its jobs in supervised processes.

    It connects again for as long as that takes.
    """
    wanted = access(url, key, token)
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: the class is the caller's own
    if queue is not None:
        if replicas > 1:
            raise misused(
                "--replicas is for an agent's mailbox; with --queue say --concurrency or --processes"
            )
        from agentbus.agents.queues.serving import JobOptions

        jobs = JobOptions(
            queue=queue,
            concurrency=concurrency,
            drain_timeout=drain_timeout,
            max_jobs=max_jobs,
            max_memory=None if max_memory is None else max_memory * 1_000_000,
        )
        fleet = Fleet(target, name, processes, watch, health, as_json)
        raise typer.Exit(_work_for_queue(_door(wanted, namespace, trust), jobs, fleet))
    if processes > 1 or concurrency > 1 or max_jobs or max_memory or watch or health or as_json:
        raise misused("--processes, --concurrency, --max-…, --watch, --health and --json go with --queue")
    from agentbus.agents.spawnable import table_of
    from agentbus.agents.worker import load_target, run_worker

    given = wanted.token
    try:
        cls = load_target(target)
        table_of(cls)
    except (ValueError, ImportError, TypeError) as error:
        raise misused(f"{target}: {error}") from None
    console.say(f"agentbus worker: {target} at {wanted.origin.text}, namespace {namespace}; Ctrl-C ends")
    try:
        code = run_worker(
            cls,
            wanted.origin.text,
            api_key=wanted.key,
            token_provider=None if given is None else lambda: given,
            name=name,
            replicas=replicas,
            namespace=namespace,
            node=node,
            trust=None if trust is None else trust.value,
        )
    except (ValueError, ImportError, TypeError) as error:
        raise misused(f"{target}: {error}") from None
    raise typer.Exit(code)


class Fleet(Struct, frozen=True):
    """What is to be run. Attributes: as the options of the command."""

    target: str
    name: str | None
    processes: int
    watch: bool
    health: str | None
    as_json: bool


def _door(wanted: Access, namespace: str, trust: Trust | None) -> Door:
    from agentbus.agents.queues.supervise import Door

    return Door(
        wanted.origin.text, wanted.key, wanted.token, namespace, None if trust is None else trust.value
    )


def _work_for_queue(door: Door, jobs: JobOptions, fleet: Fleet) -> int:
    from agentbus.agents.queues.supervise import Screen, supervise
    from agentbus.agents.worker import check_worker
    from agentbus.cli.workers import WorkerScreen

    target = fleet.target
    screen = WorkerScreen(jobs.queue, as_json=fleet.as_json)
    try:
        name = check_worker(target, jobs, fleet.name)
        health = None if fleet.health is None else address_of(fleet.health)
        console.say(
            f"agentbus worker: {target} for queue {jobs.queue} at {door.url}, namespace {door.namespace}, "
            f"{fleet.processes} x {jobs.concurrency}; Ctrl-C drains"
        )
        return supervise(
            door,
            target,
            jobs,
            name=name,
            processes=fleet.processes,
            screen=Screen(screen.show, screen.say),
            watch=fleet.watch,
            health=health,
        )
    except (ValueError, ImportError, TypeError) as error:
        raise misused(f"{target}: {error}") from None
    except OSError as error:
        raise misused(f"the health port {fleet.health}: {error.strerror or error}") from None
    finally:
        screen.close()


def address_of(text: str) -> tuple[str, int]:
    """Read `PORT` or `HOST:PORT`; without a host it is this machine's own.

    Raises:
        ValueError: it is neither.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > MAX_PORT:
        raise ValueError(f"--health takes PORT or HOST:PORT, not {text!r}")
    return host.strip("[]") or "127.0.0.1", int(port)
