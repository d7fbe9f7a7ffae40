"""What came of every file, and the account of it: counted from what enters the digest, and from the queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from agentbus.agents.queues.core.job import QueueStats
from agentbus.cli.demo.digest import Account
from agentbus.cli.demo.rank import FileSummary
from agentbus.cli.demo.sources import Note, Source


class Answer(Struct, frozen=True):
    """What came back for one file: a summary, or a note that says why there is none.

    Attributes:
        file: its position.
        summary: what it comes down to.
        note: why there is none, or what is missing from it.
        attempts: how often its job has begun.
    """

    file: int
    summary: FileSummary | None
    note: Note | None
    attempts: int


class Answers:
    """The answers of one run, in the order of their arrival; whoever enters one twice is found out.

    Args:
        sources: the files; their position is their identity.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self.entered: list[Answer] = []

    @property
    def finished(self) -> bool:
        """Whether every file has its answer."""
        return len({answer.file for answer in self.entered}) == len(self.sources)

    def enter(self, file: int, summary: FileSummary | None, note: str | None, attempts: int) -> None:
        """Enter the end of a file's job."""
        left = Note(self.sources[file].path, note) if note else None
        self.entered.append(Answer(file, summary, left, attempts))

    def account(
        self, stats: QueueStats, *, workers_killed: int, connections_cut: int, seconds: float
    ) -> Account:
        """Balance the books.

        Args:
            stats: of the queue, at the end.
            workers_killed: on purpose.
            connections_cut: on purpose.
            seconds: that it took.
        """
        counted = Counter(answer.file for answer in self.entered)
        return Account(
            files_in=len(self.sources),
            files_processed=len(counted),
            digested=len({answer.file for answer in self.entered if answer.summary}),
            set_aside=len({answer.file for answer in self.entered if not answer.summary}),
            lost=len(self.sources) - len(counted),
            counted_twice=sum(count - 1 for count in counted.values()),
            jobs_put=stats.put,
            jobs_acked=stats.acked,
            handed_out=sum(answer.attempts for answer in self.entered),
            reassigned=stats.redelivered,
            repeats_ignored=stats.refused,
            workers_killed=workers_killed,
            connections_cut=connections_cut,
            seconds=round(seconds, 2),
        )
