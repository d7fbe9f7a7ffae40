"""`agentbus queue put`: jobs from the command line, or from standard input line by line."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentbus.cli import console
from agentbus.cli.commands.messages import STDIN, payloads
from agentbus.cli.exits import misused
from agentbus.cli.joining import Door, QueueName, find_queue, joined
from agentbus.cli.progress import Progress, make_progress
from agentbus.errors import AgentBusError

if TYPE_CHECKING:
    from agentbus.agents.queues.handle import Queue
    from agentbus.agents.queues.job_ref import JobRef
    from agentbus.runtime import Future

IN_FLIGHT = 2000
"""Jobs that wait to be durable at a time."""

SHOWN_EVERY = 100


def put(
    door: Door,
    name: QueueName,
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="The message's name: its class's, by default.")],
    message: Annotated[
        str, typer.Argument(metavar="JSON|-", help="The message, or - for one per line of standard input.")
    ],
    *,
    priority: Annotated[int, typer.Option("--priority", help="Higher goes first.")] = 0,
    delay: Annotated[
        float, typer.Option("--delay", min=0.0, metavar="SECONDS", help="Until it may start.")
    ] = 0.0,
    unique: Annotated[
        str | None, typer.Option("--unique", help="While a job with this text is not over, it is that job.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="Names its effects; by default its id.")
    ] = None,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose share of the service it takes.")] = "",
    max_attempts: Annotated[
        int | None, typer.Option("--max-attempts", min=1, help="Before it is a dead letter.")
    ] = None,
    message_version: Annotated[int, typer.Option("--message-version", min=1, help="Of its type.")] = 1,
) -> None:
    """Put jobs, and print their ids; done when every one of them is durable."""
    options = {
        "priority": priority,
        "delay": delay,
        "unique": unique,
        "key": idempotency_key,
        "tenant": tenant,
        "max_attempts": max_attempts,
        "version": message_version,
    }
    with joined(door) as bus:
        line = _Line(door, find_queue(bus, name), make_progress(None if message == STDIN else 1, "jobs"))
        count = _put_all(line, kind, message, options)
    if not door.json and message == STDIN:
        console.say(f"{count} job{'' if count == 1 else 's'} in {name}")


def _put_all(line: _Line, kind: str, message: str, options: dict[str, Any]) -> int:
    """Put every message; what can't be put ends it, once it is known what went before."""
    from agentbus.agents.queues.new_jobs import raw_job

    try:
        for payload in payloads(message):
            line.put(raw_job(kind, payload, **options))
        line.finish()
    except (AgentBusError, ValueError, typer.Exit) as error:
        line.settle()
        if message == STDIN:
            console.say(f"{line.count} jobs were put before that")
        if isinstance(error, ValueError) and not isinstance(error, AgentBusError):
            raise misused(str(error)) from None
        raise
    finally:
        line.stop()
    return line.count


class _Line:
    """Jobs on their way, a bounded number at a time; their ids are printed in order."""

    def __init__(self, door: Door, queue: Queue, progress: Progress) -> None:
        self.count = 0
        self._door = door
        self._queue = queue
        self._progress = progress
        self._waiting: deque[Future[JobRef[Any]]] = deque()

    def put(self, job: Any) -> None:
        """Put one; waits for the first while too many are under way."""
        if len(self._waiting) >= IN_FLIGHT:
            self._take()
        self._waiting.append(self._queue.put(job, timeout=self._door.timeout).quiet())

    def _take(self) -> None:
        ref = self._waiting.popleft().get()
        self.count += 1
        if self._door.json:
            console.data_json({"queue": ref.queue, "id": ref.id})
        else:
            console.data(ref.id)
        if self.count % SHOWN_EVERY == 0:
            self._progress.update(self.count)

    def finish(self) -> None:
        """Wait for all."""
        while self._waiting:
            self._take()

    def settle(self) -> None:
        """Wait for all, whatever becomes of them: those that are durable count."""
        while self._waiting:
            try:
                self._take()
            except AgentBusError:
                continue

    def stop(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()
