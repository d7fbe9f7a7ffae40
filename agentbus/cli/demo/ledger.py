"""Who works on which file: pure bookkeeping, so that nothing is lost and nothing is counted twice.

    waiting ──take──► out ──enter──► answered
       ▲               │
       └──give_back────┘

A file's first answer counts, whoever it comes from; further ones are ignored and counted. A file whose worker
is gone waits again; after too many attempts it is answered with a note.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from msgspec import Struct

from agentbus.cli.demo.digest import Account
from agentbus.cli.demo.rank import FileSummary
from agentbus.cli.demo.sources import Note, Source

ATTEMPTS = 4
"""Workers that may end on one file before it is set aside: then it is the file that ends them."""


class Task(Struct, frozen=True):
    """One file, on its way to one worker. `attempt` counts from 1."""

    file: int
    source: Source
    worker: str
    attempt: int


class Answer(Struct, frozen=True):
    """What came back for one file: a summary, or a note that says why there is none."""

    file: int
    summary: FileSummary | None
    note: Note | None


class Ledger:
    """The state of every file of one run.

    Args:
        sources: the files; their position is their identity.
        attempts: how often one file goes out at most.
    """

    def __init__(self, sources: Sequence[Source], *, attempts: int = ATTEMPTS) -> None:
        self.sources = tuple(sources)
        self.answers: list[Answer] = []  # what enters the digest, in the order of arrival
        self._attempts = attempts
        self._waiting = deque(range(len(self.sources)))
        self._tried = Counter[int]()
        self._out: dict[int, Task] = {}
        self._answered: set[int] = set()
        self.reassigned = 0
        self.repeats_ignored = 0

    @property
    def finished(self) -> bool:
        """Whether every file has its answer."""
        return len(self._answered) == len(self.sources)

    @property
    def waiting(self) -> int:
        """How many files wait for a worker."""
        return sum(file not in self._answered for file in self._waiting)

    def out_at(self, worker: str) -> int:
        """How many files a worker has now."""
        return sum(task.worker == worker for task in self._out.values())

    def take(self, worker: str) -> Task | None:
        """Hand the next waiting file to a worker; `None` if no file waits."""
        while self._waiting and self._waiting[0] in self._answered:
            self._waiting.popleft()  # a worker that seemed gone has answered
        if not self._waiting:
            return None
        file = self._waiting.popleft()
        self._tried[file] += 1
        task = Task(file, self.sources[file], worker, self._tried[file])
        self._out[file] = task
        return task

    def enter(self, task: Task, summary: FileSummary | None, note: str | None) -> bool:
        """Enter the answer to a task; tell whether it was the file's first."""
        if task.file in self._answered:
            self.repeats_ignored += 1
            return False
        self._out.pop(task.file, None)
        self._answered.add(task.file)
        self.answers.append(Answer(task.file, summary, Note(task.source.path, note) if note else None))
        return True

    def give_back(self, task: Task, reason: str) -> bool:
        """Take a task back from a worker that is gone; tell whether the file waits again.

        After its last attempt the file is answered with a note instead.
        """
        if self._out.get(task.file) is not task:
            return False  # answered, or out again already
        del self._out[task.file]
        if task.attempt >= self._attempts:
            self.enter(task, None, f"set aside after {task.attempt} attempts: {reason}")
            return False
        self._waiting.appendleft(task.file)
        self.reassigned += 1
        return True

    def account(self, *, workers_killed: int, connections_cut: int, seconds: float) -> Account:
        """Balance the books from what entered the digest, not from what this class believes."""
        counted = Counter(answer.file for answer in self.answers)
        return Account(
            files_in=len(self.sources),
            files_processed=len(counted),
            digested=len({answer.file for answer in self.answers if answer.summary}),
            set_aside=len({answer.file for answer in self.answers if not answer.summary}),
            lost=len(self.sources) - len(counted),
            counted_twice=sum(count - 1 for count in counted.values()),
            handed_out=self._tried.total(),
            reassigned=self.reassigned,
            repeats_ignored=self.repeats_ignored,
            workers_killed=workers_killed,
            connections_cut=connections_cut,
            seconds=round(seconds, 2),
        )
