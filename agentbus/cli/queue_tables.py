"""Queues, jobs and schedules as tables and lines for people, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from agentbus.agents.queues.core.job import JobStatus, QueueStats, Value
from agentbus.agents.queues.messages import ScheduleStatus
from agentbus.cli import console
from agentbus.cli.text import clean

if TYPE_CHECKING:
    from rich.console import JustifyMethod, RenderableType

BODY_SHOWN = 60
"""Characters of a message in a table."""

WHOLE = frozenset({"id"})
"""Columns that are not folded: an id is there to be copied."""

READABLE = {"state": 9, "what": 10}
"""Characters that a column keeps in a narrow terminal: reasons are words."""

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


def duration(seconds: float) -> str:
    """Say a number of seconds in the unit that suits it."""
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[str]) -> RenderableType:
    """Make a table without lines; text is cleaned here.

    Args:
        columns: their headings.
        rows: a text for each column.
        right: columns that hold numbers.
    """
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify: JustifyMethod = "right" if column in right else "left"
        made.add_column(
            column,
            justify=justify,
            overflow="fold",
            no_wrap=column in WHOLE,
            min_width=READABLE.get(column),
        )
    for row in rows:
        made.add_row(*map(clean, row))
    return made


# -- queues --------------------------------------------------------------------------------------------------

_COUNTS = ("queued", "delayed", "leased", "waiting", "done", "dead", "workers")


def queue_table(found: Sequence[QueueStats]) -> RenderableType:
    """Make a table of queues."""
    rows = [
        (each.name, *(str(getattr(each, count)) for count in _COUNTS), duration(each.oldest), state_of(each))
        for each in found
    ]
    return table(("queue", *_COUNTS, "oldest", "state"), rows, right=frozenset({*_COUNTS, "oldest"}))


def state_of(stats: QueueStats) -> str:
    """Say in a word or two how a queue is."""
    return "paused" if stats.paused and stats.state == "ok" else stats.state


def stats_table(stats: QueueStats) -> RenderableType:
    """Make a table of all numbers of a queue."""
    facts = msgspec.structs.asdict(stats) | {"oldest": duration(stats.oldest), "state": state_of(stats)}
    del facts["paused"]
    rows = [(name, str(value)) for name, value in facts.items()]
    return table(("", stats.name), rows[1:], right=frozenset())


# -- jobs ----------------------------------------------------------------------------------------------------


def job_table(jobs: Sequence[JobStatus], bodies: Sequence[Value | None]) -> RenderableType:
    """Make a table of jobs.

    Args:
        jobs: they.
        bodies: of each, its message; None if it is gone meanwhile.
    """
    columns = ("id", "type", "state", "tries", "age", "what", "message")
    rows = [
        (
            each.id,
            each.type,
            each.state,
            f"{each.attempts}/{each.max_attempts}",
            duration(each.age),
            remark(each),
            _short(body),
        )
        for each, body in zip(jobs, bodies, strict=True)
    ]
    return table(columns, rows, right=frozenset({"tries", "age"}))


def _short(body: Value | None) -> str:
    text = "" if body is None else console.json_line(bytes(body.body))
    return text if len(text) <= BODY_SHOWN else text[: BODY_SHOWN - 1] + "…"


def remark(job: JobStatus) -> str:
    """Say what there is to say of a job in its state."""
    parts = [f"in {duration(job.due_in)}"] if job.due_in else []
    if job.worker is not None:
        parts.append(f"at {job.worker}")
    if job.done is not None:
        parts.append(f"{job.done:.0%}")
    if job.note:
        parts.append(job.note)
    if job.failure is not None:
        parts.append(job.failure.text)
    return ", ".join(parts)


def job_line(job: JobStatus) -> str:
    """Say in one line what has become of a job."""
    return f"{job.queue}  {job.id}  {job.type}  {job.state}  {remark(job)}".rstrip()


def job_json(job: JobStatus, body: Value | None) -> dict[str, Any]:
    """Give a job with its message for a program; fields at their defaults are left out."""
    whole: dict[str, Any] = msgspec.to_builtins(job)
    return whole if body is None else {**whole, "body": body.body}


# -- schedules -----------------------------------------------------------------------------------------------


def schedule_table(found: Sequence[ScheduleStatus]) -> RenderableType:
    """Make a table of schedules."""
    rows = [
        (
            each.schedule.name,
            when_of(each),
            each.schedule.job.type,
            f"in {duration(max(0.0, each.next_in))}",
            each.last or "never",
        )
        for each in found
    ]
    return table(("schedule", "when", "message", "next", "last"), rows, right=frozenset())


def when_of(status: ScheduleStatus) -> str:
    """Say when a schedule is due, as it was said."""
    schedule = status.schedule
    if schedule.cron:
        return f"{schedule.cron} ({schedule.timezone})"
    return f"every {duration(schedule.every)}"


class LiveStats:
    """A queue in numbers as they change, with a bar of what is done of all that was seen waiting.

    Args:
        clock: gives the monotonic time, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._acked: int | None = None
        self._began = 0.0

    def take(self, stats: QueueStats) -> RenderableType:
        """Take new numbers; gives what to show."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar

        if self._acked is None or stats.acked < self._acked:  # the first look, or a new host
            self._acked, self._began = stats.acked, self._clock()
        left = stats.queued + stats.delayed + stats.leased
        acked = stats.acked - self._acked
        passed = self._clock() - self._began
        rate = acked / passed if passed else 0.0
        line = f"{acked} done since {duration(passed)}, {rate:.1f} per second, {left} to do"
        bar = ProgressBar(total=max(1, acked + left), completed=acked if acked + left else 1)
        return Group(stats_table(stats), line, bar)
