"""`EndStream`: the ends of jobs, told to readers that may have lost an earlier host on the way."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from agentbus.agents.queues.core.ending import Ending
from agentbus.agents.queues.core.job import JobEnd
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.listeners import Readers
from agentbus.agents.queues.stores.store import QueueStore
from agentbus.errors import ResultsLostError

PAGE = 100
"""Ends that are read from the store at a time."""


class EndStream:
    """Tells readers of ends: first what they have missed, as the store has it, then what comes.

    Args:
        queue: its name, for errors.
        options: say how many ends are kept.
        ends: knows how jobs have ended.
        store: has what they gave.

    Attributes:
        told: when the last end was that is durable and was told.
    """

    def __init__(self, queue: str, options: QueueOptions, ends: Ending, store: QueueStore) -> None:
        self.told = 0.0
        self._queue = queue
        self._options = options
        self._ends = ends
        self._store = store
        self._readers: Readers[JobEnd] = Readers(queue)

    def tell(self, ends: list[JobEnd]) -> None:
        """Tell all readers of ends that are durable."""
        if ends:
            self.told = ends[-1].at
            self._readers.tell(ends)

    async def read(self, after: float | None) -> AsyncGenerator[JobEnd]:
        """Give ends; see `Results`.

        Raises:
            QueueFullError: there are too many readers.
            ResultsLostError: this one is too far behind, or was away for too long.
            StoreError: what jobs gave can't be read.
        """
        reader, told = self._readers.join(), self.told
        try:
            if after is None:
                yield JobEnd("", "waiting", at=told)
            else:
                async with aclosing(self._missed(after, told)) as missed:
                    async for end in missed:
                        yield end
            async with aclosing(self._readers.read(reader)) as news:
                async for end in news:
                    yield end
        finally:
            self._readers.leave(reader)

    async def _missed(self, after: float, until: float) -> AsyncGenerator[JobEnd]:
        numbers = self._ends.between(after, until)
        for begin in range(0, max(1, len(numbers)), PAGE):
            if after < self._ends.forgotten:
                raise ResultsLostError(self._queue, self._options.max_results, away=True)
            page = [end for number in numbers[begin : begin + PAGE] if (end := self._ends.of(number))]
            bodies = await self._store.bodies([end.number for end in page if end.number])
            for end in page:
                after = end.end.at
                yield end.filled(bodies)
