"""`Unsettled`: settlements on their way to the host, each said again until it is answered. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from agentbus.agents.queues.messages import Settlement

MAX_BATCH_BYTES = 4 * 1024 * 1024
MAX_BATCH = 1000
"""Settlements that travel together: bytes of their results, and how many."""

RETRY_DELAYS = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds after which what was not answered is said again; the last again and again."""

_HEAD_BYTES = 200


class Unsettled:
    """What is to be said. It holds at most one settlement for each job that a worker holds.

    Attributes:
        at: before which nothing is said.
    """

    def __init__(self) -> None:
        self.at = 0.0
        self._waiting: dict[str, Settlement] = {}
        self._underway: dict[str, Settlement] = {}
        self._tries = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._underway)

    @property
    def waiting(self) -> bool:
        """Whether anything is to be said."""
        return bool(self._waiting)

    def add(self, settlement: Settlement) -> None:
        """Say it."""
        self._waiting[settlement.token] = settlement

    def take(self, now: float) -> list[Settlement]:
        """Take what is to be said now, as much as goes into one message."""
        batch: list[Settlement] = []
        size = 0
        for settlement in self._waiting.values() if now >= self.at else ():
            size += bytes_of(settlement)
            if batch and (size > MAX_BATCH_BYTES or len(batch) >= MAX_BATCH):
                break
            batch.append(settlement)
        for settlement in batch:
            self._underway[settlement.token] = self._waiting.pop(settlement.token)
        return batch

    def answered(self, batch: Iterable[Settlement], now: float) -> None:
        """Learn that these were taken note of."""
        self._tries, self.at = 0, now
        for settlement in batch:
            self._underway.pop(settlement.token, None)

    def failed(self, batch: Iterable[Settlement], now: float) -> None:
        """Learn that nobody has answered these; they come first the next time."""
        again = {each.token: each for each in batch if self._underway.pop(each.token, None) is not None}
        self._waiting = again | self._waiting
        self.at = now + retry_delay(self._tries)
        self._tries += 1


def bytes_of(settlement: Settlement) -> int:
    """Give about how many bytes a settlement takes."""
    value = 0 if settlement.value is None else len(settlement.value.body)
    return _HEAD_BYTES + len(settlement.traceback) + value + sum(len(job.body) for job in settlement.jobs)


def retry_delay(tries: int) -> float:
    """Give seconds to wait after so many tries before."""
    return RETRY_DELAYS[min(tries, len(RETRY_DELAYS) - 1)]
