"""`PutLine`: jobs on their way to a queue; those of one loop turn share a message.

    put ─► waiting ──(a host is known, and the window has room)──► Put ──► answer ─► futures
                ▲                                                   │
                └───────────── refused: each call on its own ◄──────┘

What has left is not called back: whoever waits for it may give up, the jobs are put all the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentbus.agents.queues.calls import QueueCalls
from agentbus.agents.queues.core.job import NewJob
from agentbus.agents.queues.messages import Put
from agentbus.errors import AgentBusError, BusClosedError, QueueFullError
from agentbus.runtime import Future
from agentbus.runtime.purse import Purse, Shortage

if TYPE_CHECKING:
    from agentbus.runtime import Loop

WINDOW = 4
"""Messages with jobs that are under way to the host at a time."""

BATCH_JOBS, BATCH_BYTES = 1000, 1 << 20
"""What one message holds; a single call may need one that is larger."""

MAX_JOBS, MAX_BYTES = 100_000, 64 << 20
"""Jobs and bytes that a handle keeps until they are durable; a put beyond fails at once."""

Ids = tuple[str, ...]


class _Call:
    """What one caller puts, all or none."""

    __slots__ = ("future", "jobs", "size")

    def __init__(self, jobs: Sequence[NewJob], size: int) -> None:
        self.jobs = jobs
        self.size = size
        self.future: Future[Ids] = Future()


class PutLine:
    """The jobs that a handle puts, in the order in which they were given. `put` is for any thread.

    Args:
        calls: asks the host.
        loop: where the line is kept: the agents' loop.
        queue: the queue's name, for errors.
    """

    def __init__(self, calls: QueueCalls, loop: Loop, queue: str) -> None:
        self._calls = calls
        self._loop = loop
        self._queue = queue
        self._room = Purse({"jobs": MAX_JOBS, "bytes": MAX_BYTES})
        self._waiting: deque[_Call] = deque()
        self._under_way = 0
        self._pumping = False
        self._has_room = asyncio.Event()

    def put(self, jobs: Sequence[NewJob]) -> Future[Ids]:
        """Put jobs, all or none.

        Returns:
            The future of their ids, in order, once they are durable. It fails with `QueueFullError`,
            `StoreError`, `BodyTooLargeError`, `BusClosedError`, and with what kept this bus from being the
            host. Cancelling it before the jobs have left keeps them here.
        """
        size = sum(map(size_of, jobs))
        shortage = self._room.take({"jobs": len(jobs), "bytes": size})
        if isinstance(shortage, Shortage):
            return Future.failed(QueueFullError(self._queue, _UNSENT[shortage.what], _CAPS[shortage.what]))
        call = _Call(jobs, size)
        call.future.add_done_callback(lambda _future: self._give_back(call))
        self._waiting.append(call)
        self._loop.call_soon(self._wake)
        return call.future

    def _give_back(self, call: _Call) -> None:
        self._room.give({"jobs": len(call.jobs), "bytes": call.size})

    # -- on the loop -----------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._pumping:
            return
        while self._waiting and self._under_way < WINDOW and self._calls.known() is not None:
            self._send_next()
        if self._waiting:
            self._pumping = True
            self._loop.create_task(self._pump())

    def _send_next(self) -> None:
        batch = self._next_batch()
        if batch:
            self._under_way += 1
            self._loop.create_task(self._send(batch))

    async def _pump(self) -> None:
        try:
            while self._waiting:
                if self._calls.known() is None:
                    await self._calls.host()
                if self._under_way >= WINDOW:
                    self._has_room.clear()
                    await self._has_room.wait()
                self._send_next()
        except asyncio.CancelledError:
            self._fail_all(BusClosedError())
            raise
        except Exception as error:  # noqa: BLE001 -- whatever it is, nobody may wait for it for ever
            self._fail_all(error)
        finally:
            self._pumping = False

    def _next_batch(self) -> list[_Call]:
        batch: list[_Call] = []
        jobs = size = 0
        while self._waiting:
            call = self._waiting[0]
            jobs += len(call.jobs)
            size += call.size
            if batch and (jobs > BATCH_JOBS or size > BATCH_BYTES):
                break
            self._waiting.popleft()
            if call.future.done():  # given up before it left
                jobs, size = jobs - len(call.jobs), size - call.size
            else:
                batch.append(call)
        return batch

    def _fail_all(self, error: Exception) -> None:
        while self._waiting:
            self._waiting.popleft().future.try_set_exception(error)

    async def _send(self, batch: list[_Call]) -> None:
        try:
            await self._send_together(batch)
        except asyncio.CancelledError:
            _fail(batch, BusClosedError())
            raise
        except Exception as error:  # noqa: BLE001 -- as above
            _fail(batch, error)
        finally:
            self._under_way -= 1
            self._has_room.set()

    async def _send_together(self, batch: list[_Call]) -> None:
        """Put what several callers gave; if that is refused, each gets an answer of its own."""
        try:
            answer = await self._calls.answer(Put(tuple(job for call in batch for job in call.jobs)))
        except AgentBusError as error:
            if len(batch) == 1 or isinstance(error, BusClosedError):
                _fail(batch, error)
                return
            for call in batch:
                await self._send_together([call])
            return
        ids = iter(answer.ids)
        for call in batch:
            call.future.try_set(tuple(next(ids) for _job in call.jobs))


def _fail(calls: list[_Call], error: Exception) -> None:
    for call in calls:
        call.future.try_set_exception(error)


_UNSENT = {"jobs": "jobs that wait to be put", "bytes": "bytes that wait to be put"}
_CAPS = {"jobs": MAX_JOBS, "bytes": MAX_BYTES}

JOB_BYTES = 100
"""Bytes of a message that a job takes beside its body, about."""


def size_of(job: NewJob) -> int:
    """Give the bytes that a job takes in a message, about, with all its steps."""
    own = memoryview(job.body).nbytes + JOB_BYTES
    return own + sum(map(size_of, job.steps)) if job.steps else own
