"""`Steering`: what people change about jobs that are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.flows import Flows
from agentbus.agents.queues.core.record import DEAD, LIVE, Job

PAUSED_NOTE = "paused"


class Steering:
    """Steers a queue.

    Args:
        book: its jobs.
        flows: their flows.
        paused: whether no job is leased.

    Attributes:
        paused: see above.
    """

    def __init__(self, book: Book, flows: Flows, *, paused: bool) -> None:
        self._book = book
        self._flows = flows
        self.paused = paused
        self._actions: dict[str, Callable[[Sequence[str], float], int]] = {
            "pause": self._pause,
            "resume": self._resume,
            "cancel": self._cancel,
            "retry": self._retry,
            "drop": self._drop,
        }

    def steer(self, action: str, ids: Sequence[str], at: float) -> int:
        """Do what `Steer` says; gives how many jobs it concerned. Ids that are not known concern none."""
        return self._actions[action](ids, at)

    def _pause(self, _ids: Sequence[str], _at: float) -> int:
        return self._set_paused(paused=True)

    def _resume(self, _ids: Sequence[str], _at: float) -> int:
        return self._set_paused(paused=False)

    def _set_paused(self, *, paused: bool) -> int:
        if paused != self.paused:
            self.paused = paused
            self._book.changes.notes[PAUSED_NOTE] = b"true" if paused else None
        return len(self._book.ready)

    def _cancel(self, ids: Sequence[str], at: float) -> int:
        return sum(self._flows.cancel(job, at) for job in self._known(ids) if job.state in LIVE)

    def _retry(self, ids: Sequence[str], at: float) -> int:
        chosen = self._known(ids) if ids else [self._book.jobs[number] for number in self._book.dead]
        return sum(self._retry_one(job, at) for job in chosen)

    def _retry_one(self, job: Job, at: float) -> bool:
        if job.number in self._book.delayed:
            job.due = at
            self._book.move(job, "queued", at)
            return True
        root = self._book.root(job)
        if root.state not in DEAD or job.state in LIVE or self._has_twin(root):
            return False
        self._flows.revive(root, at)
        return True

    def _has_twin(self, root: Job) -> bool:
        """Whether another job of the same unique text is not over: it is the one, and this one stays dead."""
        return root.unique is not None and self._book.unique.get(root.unique, root.number) != root.number

    def _drop(self, ids: Sequence[str], at: float) -> int:
        chosen = self._known(ids) if ids else list(self._book.jobs.values())
        return sum(self._drop_one(job, at) for job in chosen)

    def _drop_one(self, job: Job, at: float) -> int:
        """Drop what is over, or has not begun; a step goes with its flow only."""
        if job.number not in self._book.jobs or job.parent or job.state in {"leased", "waiting"}:
            return 0
        if job.state in LIVE:
            self._flows.cancel(job, at)  # who waits for its end is told
        return self._book.forget(job)

    def _known(self, ids: Sequence[str]) -> list[Job]:
        return [self._book.ids[each] for each in ids if each in self._book.ids]
