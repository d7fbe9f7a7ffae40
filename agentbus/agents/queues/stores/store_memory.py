"""A queue in memory: it survives its agent, and ends with the process."""

from __future__ import annotations

from typing import Any

from agentbus.agents.queues.stores.store import Batch, Opened, Record
from agentbus.errors import StoreError
from agentbus.runtime import Future


class MemoryQueueStore:
    """Keeps one queue in memory; everything is done at once. Its host calls it from one thread at a time."""

    text = "memory://"

    def __init__(self) -> None:
        self._heads: dict[int, bytes] = {}
        self._bodies: dict[int, bytes] = {}
        self._notes: dict[str, bytes] = {}
        self._epoch = 0
        self._closed = False

    def claim(self, owner: str) -> Future[str]:
        """Claim the queue; nobody has before."""
        del owner  # nobody else can ask for it
        return Future.completed("")

    def open(self, owner: str) -> Future[Opened]:
        """Claim the queue and read it. It fails with `StoreError` once it is closed."""
        del owner  # likewise
        if self._closed:
            return _closed()
        self._epoch += 1
        records = [Record(number, head) for number, head in sorted(self._heads.items())]
        return Future.completed(Opened(self._epoch, records, dict(self._notes)))

    def write(self, batch: Batch) -> Future[None]:
        """Make changes. It fails with `StoreError` once it is closed."""
        if self._closed:
            return _closed()
        self._heads.update(batch.heads)
        self._bodies.update(batch.bodies)
        for number in batch.erased:
            self._heads.pop(number, None)
            self._bodies.pop(number, None)
        for name, note in batch.notes.items():
            if note is None:
                self._notes.pop(name, None)
            else:
                self._notes[name] = note
        return Future.completed(None)

    def bodies(self, numbers: list[int]) -> Future[dict[int, bytes]]:
        """Give bodies; those of records that are gone are left out."""
        if self._closed:
            return _closed()
        found = {number: self._bodies[number] for number in numbers if number in self._bodies}
        return Future.completed(found)

    def close(self) -> Future[None]:
        """Let go of everything; idempotent."""
        self._closed = True
        for each in (self._heads, self._bodies, self._notes):
            each.clear()
        return Future.completed(None)


def _closed() -> Future[Any]:
    return Future.failed(StoreError("the store of a queue in memory is closed"))
