"""Who waits for jobs to be over, and who reads the streams of a queue. On the agents' loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Generic, TypeVar

from agentbus.agents.queues.core.job import JobEnd
from agentbus.errors import QueueFullError, ResultsLostError

T = TypeVar("T")

MAX_WAITERS = 100_000
"""Calls that wait for the end of a job at a time."""

MAX_READERS = 1000
"""Streams that are read at a time, of each kind."""

MAX_BEHIND = 10_000
"""Items that wait for one reader; one that is further behind has its stream ended."""


class EndWaiters:
    """Calls that wait for the end of a job.

    Args:
        queue: its name, for errors.
        cap: how many may wait.
    """

    def __init__(self, queue: str, cap: int = MAX_WAITERS) -> None:
        self._queue = queue
        self._cap = cap
        self._waiting: dict[str, dict[asyncio.Future[JobEnd], None]] = {}
        self._count = 0

    def __len__(self) -> int:
        """Count the calls."""
        return self._count

    def __contains__(self, job_id: object) -> bool:
        """Whether anybody waits for that job."""
        return job_id in self._waiting

    async def wait(self, job_id: str) -> JobEnd:
        """Wait for the end of a job.

        Raises:
            QueueFullError: too many wait.
        """
        if self._count >= self._cap:
            raise QueueFullError(self._queue, "calls that wait for results", self._cap)
        over: asyncio.Future[JobEnd] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(job_id, {})
        waiting[over] = None
        self._count += 1
        try:
            return await over
        finally:
            self._count -= 1
            del waiting[over]
            if not waiting and self._waiting.get(job_id) is waiting:
                del self._waiting[job_id]

    def ended(self, end: JobEnd) -> None:
        """Tell those who wait for it."""
        for over in self._waiting.get(end.job_id, ()):
            if not over.done():
                over.set_result(end)


class Readers(Generic[T]):
    """The readers of one stream.

    Args:
        queue: its name, for errors.
        cap: how many there may be.
        behind: items that may wait for one.
    """

    def __init__(self, queue: str, cap: int = MAX_READERS, behind: int = MAX_BEHIND) -> None:
        self._queue = queue
        self._cap = cap
        self._behind = behind
        self._readers: dict[Reader[T], None] = {}

    def __len__(self) -> int:
        """Count them."""
        return len(self._readers)

    def join(self) -> Reader[T]:
        """Begin to keep what is told for one more reader, until it leaves.

        Raises:
            QueueFullError: there are too many readers.
        """
        if len(self._readers) >= self._cap:
            raise QueueFullError(self._queue, "readers", self._cap)
        reader: Reader[T] = Reader()
        self._readers[reader] = None
        return reader

    def leave(self, reader: Reader[T]) -> None:
        """Keep nothing more for a reader."""
        self._readers.pop(reader, None)

    async def read(self, reader: Reader[T] | None = None) -> AsyncGenerator[T]:
        """Give what is told from now on, or since a reader has joined.

        Raises:
            QueueFullError: there are too many readers.
            ResultsLostError: this one is too far behind.
        """
        reader = reader or self.join()
        try:
            while True:
                while reader.items:
                    yield reader.items.popleft()
                if reader.lost:
                    raise ResultsLostError(self._queue, self._behind)
                reader.news.clear()
                await reader.news.wait()
        finally:
            self.leave(reader)

    def tell(self, items: Iterable[T]) -> None:
        """Tell all readers."""
        for reader in list(self._readers):
            reader.items.extend(items)
            reader.lost = len(reader.items) > self._behind
            reader.news.set()
            if reader.lost:
                del self._readers[reader]


class Reader(Generic[T]):
    """One reader: what waits for it."""

    __slots__ = ("items", "lost", "news")

    def __init__(self) -> None:
        self.items: deque[T] = deque()
        self.news = asyncio.Event()
        self.lost = False
