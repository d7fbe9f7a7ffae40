"""A store whose faults the test chooses."""

from __future__ import annotations

from typing import Any

from agentbus.agents.queues.stores.store import Batch, Opened
from agentbus.agents.queues.stores.store_memory import MemoryQueueStore
from agentbus.errors import QueueFencedError
from agentbus.runtime import Future


class FaultyStore:
    """A store in memory that outlives its hosts.

    Attributes:
        written: batches that were written.
        error: what writes and reads fail with; None for none.
        open_error: what the next `open` fails with.
        closed: whether its host has let go of it.
        died_with: who is said to have had its claim and died with it.
    """

    def __init__(self) -> None:
        self._inner = MemoryQueueStore()
        self._held: list[tuple[Batch, Future[None]]] | None = None
        self._fenced: int | None = None
        self.epoch = 0
        self.written = 0
        self.error: Exception | None = None
        self.open_error: Exception | None = None
        self.closed = False
        self.died_with = ""

    text = "faulty://"

    def claim(self, owner: str) -> Future[str]:
        return Future.completed(self.died_with)

    def open(self, owner: str) -> Future[Opened]:
        if self.open_error is not None:
            return Future.failed(self.open_error)
        self.closed = False
        self.epoch += 1
        return self._inner.open(owner)

    def write(self, batch: Batch) -> Future[None]:
        if self._fenced is not None:
            return Future.failed(QueueFencedError("tasks", self._fenced))
        if self.error is not None:
            return Future.failed(self.error)
        if self._held is not None:
            done: Future[None] = Future()
            self._held.append((batch, done))
            return done
        self.written += 1
        return self._inner.write(batch)

    def bodies(self, numbers: list[int]) -> Future[dict[int, bytes]]:
        return Future.failed(self.error) if self.error is not None else self._inner.bodies(numbers)

    def close(self) -> Future[None]:
        self.closed = True
        return Future.completed(None)

    # -- faults ----------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Let writes wait."""
        self._held = []

    @property
    def held(self) -> int:
        """Count the writes that wait."""
        return len(self._held or ())

    def release(self) -> None:
        """Let them through."""
        held, self._held = self._held or [], None
        for batch, done in held:
            self.written += 1
            self._inner.write(batch)
            done.set(None)

    def fence(self) -> None:
        """Have somebody else claim the queue."""
        self._fenced = self.epoch


def state_of(future: Future[Any]) -> str:
    """Say how a future is doing."""
    if not future.done():
        return "waiting"
    error = future.exception()
    return "done" if error is None else type(error).__name__
