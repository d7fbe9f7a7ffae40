"""`Outbox`: what workers are told, in the order in which it became true. On the agents' loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from agentbus.agents.message import Message
from agentbus.agents.queues.core.job import LeasedJob
from agentbus.agents.queues.core.turn import Turn
from agentbus.agents.queues.messages import Leased, Revoked
from agentbus.agents.queues.stores.store import QueueStore
from agentbus.errors import StoreError

READ_RETRY = 0.5
"""Seconds until bodies that could not be read are asked for again."""

MAX_LEASED_BYTES = 1 << 20
"""Bytes of bodies in one message to a worker; a job that is larger has one of its own."""

Tell = Callable[[str, Message], object]
Run = Callable[[Coroutine[Any, Any, None]], object]


class Outbox:
    """Tells workers of their jobs, once their bodies are there, and of those that are theirs no more.

    It holds no more than the leases that are out: nothing is granted beyond the credit of the workers.

    Args:
        store: gives bodies that the core has let go of.
        epoch: of the claim.
        tell: sends a message to a worker.
        run: does something beside.
    """

    def __init__(self, store: QueueStore, epoch: int, tell: Tell, run: Run) -> None:
        self._store = store
        self._epoch = epoch
        self._tell = tell
        self._run = run
        self._news: deque[Turn] = deque()
        self._reading = False
        self._closed = False

    def send(self, turn: Turn) -> None:
        """Tell what a turn has brought; behind what still waits for bodies."""
        if not (turn.grants or turn.revoked):
            return
        if self._reading or turn.unread:
            self._news.append(turn)
            if not self._reading:
                self._reading = True
                self._run(self._read_and_tell())
        else:
            self._tell_all(turn, {})

    async def _read_and_tell(self) -> None:
        while self._news:
            turn = self._news.popleft()
            bodies = await self.read(turn.unread)
            if not self._closed:
                self._tell_all(turn, bodies)
        self._reading = False

    async def read(self, numbers: list[int]) -> dict[int, bytes]:
        """Read bodies, however long that takes; nothing once this is closed."""
        while numbers and not self._closed:
            try:
                return await self._store.bodies(numbers)
            except StoreError:
                await asyncio.sleep(READ_RETRY)
        return {}

    def close(self) -> None:
        """Tell nothing any more."""
        self._closed = True
        self._news.clear()

    def _tell_all(self, turn: Turn, bodies: dict[int, bytes]) -> None:
        for (worker, session), granted in turn.grants.items():
            for jobs in _loads(each.filled(bodies) for each in granted):
                self._tell(worker, Leased(session, self._epoch, jobs))
        for (worker, session), tokens in turn.revoked.items():
            cancelled = tuple(token for token in tokens if token in turn.cancelled)
            lost = tuple(token for token in tokens if token not in turn.cancelled)
            if cancelled:
                self._tell(worker, Revoked(session, cancelled, "cancelled"))
            if lost:
                self._tell(worker, Revoked(session, lost, "lost"))


def _loads(jobs: Iterable[LeasedJob]) -> Iterable[tuple[LeasedJob, ...]]:
    """Divide jobs so that each message stays small."""
    load: list[LeasedJob] = []
    size = 0
    for job in jobs:
        own = memoryview(job.body).nbytes + sum(memoryview(each.body).nbytes for each in job.inputs)
        if load and size + own > MAX_LEASED_BYTES:
            yield tuple(load)
            load, size = [], 0
        load.append(job)
        size += own
    if load:
        yield tuple(load)
