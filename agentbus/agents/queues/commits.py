"""`Commits`: one batch after the other is written, and nothing is told before it is durable.

    commands ─► core ──take──► turn ──write──► durable ─► grants, ends, answers ─► the next turn
                                 ▲       │
                                 └───────┘ the store can't: the same batch again, a little later

What comes while a batch is being written is the next batch. So a busy queue needs one commit for many jobs,
and a failed write is repeated as it was: the core has never moved on behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from agentbus.agents.queues.core.turn import Turn
from agentbus.agents.queues.stores.store import Batch
from agentbus.errors import QueueFencedError, StoreError
from agentbus.runtime import Future, Loop

FIRST_RETRY, LAST_RETRY = 0.1, 2.0
"""Seconds until a batch that could not be written is tried again: at first, and after many times."""

_log = logging.getLogger("agentbus.agents")


class Writer(Protocol):
    """The part of a store that is needed here."""

    def write(self, batch: Batch) -> Future[None]:
        """See `QueueStore.write`."""
        ...


class Commits:
    """Takes turns and has them written. On the agents' loop.

    Args:
        take: gives the next turn.
        store: writes it.
        loop: the agents' loop.
        deliver: tells what a turn has brought, once it is durable; before the answers to its commands leave.
        fenced: told once that somebody else has claimed the queue: nothing can be written any more.
        failed: told once of a mistake of ours, after which nothing is right any more.

    Attributes:
        over: whether nothing is written any more.
        problem: why the store can't be written at the moment; None if it can.
    """

    def __init__(
        self,
        take: Callable[[], Turn | None],
        store: Writer,
        loop: Loop,
        *,
        deliver: Callable[[Turn], object],
        fenced: Callable[[Exception], object],
        failed: Callable[[Exception], object],
    ) -> None:
        self.problem: StoreError | None = None
        self._take = take
        self._store = store
        self._loop = loop
        self._deliver = deliver
        self._fenced = fenced
        self._failed = failed
        self._armed = False
        self.over = False
        self._turn: Turn | None = None
        self._delay = FIRST_RETRY
        self._waiting: list[asyncio.Future[None]] = []
        self._next: list[asyncio.Future[None]] = []

    def poke(self) -> None:
        """Take a turn soon: a command may have changed something."""
        if not self._armed and not self.over:
            self._armed = True
            if self._turn is None:
                self._loop.call_soon(self._begin)

    async def durable(self) -> None:
        """Wait until all that was changed until now is durable; for ever once this is over.

        Who waits then is a handler of an agent that is being ended, which cancels it and tells its asker.
        """
        self.poke()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next.append(waiter)
        await waiter

    # -- a turn, in order ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._armed = False
        if self.over or self._turn is not None:
            return
        try:
            turn = self._take()
        except Exception as error:  # noqa: BLE001 -- told
            self._break(error)
            return
        waiting, self._next = self._next, []
        if turn is None:
            _release(waiting)
            return
        self._turn, self._waiting = turn, waiting
        if turn.batch:
            self._write()
        else:
            self._durable(turn)

    def _write(self) -> None:
        if self._turn is not None and not self.over:
            written = self._store.write(self._turn.batch)
            written.add_done_callback(lambda future: self._loop.call_soon(self._written, future))

    def _written(self, future: Future[None]) -> None:
        turn = self._turn
        if turn is None or self.over:
            return
        error = future.exception()
        if error is None:
            self._durable(turn)
        elif isinstance(error, StoreError):
            self._again(error)
        elif isinstance(error, QueueFencedError):
            self.close()
            self._fenced(error)
        else:
            self._break(error)

    def _durable(self, turn: Turn) -> None:
        if self.problem is not None:
            _log.warning("the store of a queue can be written again")
        self.problem, self._delay = None, FIRST_RETRY
        self._turn = None
        waiting, self._waiting = self._waiting, []
        try:
            self._deliver(turn)
        except Exception as error:  # noqa: BLE001 -- told
            self._break(error)
            return
        _release(waiting)
        if self._armed:
            self._begin()

    def _again(self, error: StoreError) -> None:
        if self.problem is None:
            _log.error("a queue waits for its store, which can't be written: %s", error)
        self.problem = error
        self._loop.call_later(self._delay, self._write)
        self._delay = min(2 * self._delay, LAST_RETRY)

    def _break(self, error: BaseException) -> None:
        self.close()
        self._failed(error if isinstance(error, Exception) else StoreError(str(error)))

    def close(self) -> None:
        """Write nothing any more."""
        self.over = True
        self._turn = None
        self._waiting, self._next = [], []


def _release(waiting: list[asyncio.Future[None]]) -> None:
    for waiter in waiting:
        if not waiter.done():
            waiter.set_result(None)
