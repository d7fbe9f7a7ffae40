"""The consumer's end of a stream: chunks wait here, as many as the producer had credit for, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from agentbus.runtime.credit import CreditReceiver
from agentbus.runtime.event_stream import EventStream

T = TypeVar("T")


class Inlet(Generic[T]):
    """Where one consumer takes its chunks, from a thread or on any loop.

    Args:
        capacity: chunks that may wait, 1 to `MAX_CREDIT`.
        grant: takes the numbers up to which the producer may go; on the consumer's thread, never waits.

    Raises:
        ValueError: the capacity is out of range.
    """

    __slots__ = ("_chunks", "_credit", "_grant")

    def __init__(self, capacity: int, grant: Callable[[int], object]) -> None:
        self._credit = CreditReceiver(capacity)
        self._chunks: EventStream[T] = EventStream(capacity)
        self._grant = grant

    @property
    def received(self) -> int:
        """How many chunks have arrived."""
        return self._credit.received

    @property
    def opened(self) -> bool:
        """Whether the producer has had credit."""
        return self._credit.granted > 0

    @property
    def ended(self) -> bool:
        """Whether no more chunks will come; those that wait can still be taken."""
        return self._chunks.closed

    # -- the producer's side ---------------------------------------------------------------------------------

    def put(self, chunk: T) -> bool:
        """Add a chunk; False, and it is dropped, if the producer had no credit for it."""
        if self._chunks.closed:
            return True
        granted = self._credit.receive()
        if granted:
            self._chunks.put(chunk)
        return granted

    def end(self) -> None:
        """No more chunks come; idempotent."""
        self._chunks.close()

    # -- the consumer's side ---------------------------------------------------------------------------------

    def open(self) -> None:
        """Give the producer its first credit; idempotent."""
        limit = self._credit.open()
        if limit is not None:
            self._grant(limit)

    def take(self, timeout: float | None = None) -> T:
        """Wait for the next chunk.

        Raises:
            StreamClosedError: it has ended and nothing waits.
            FutureTimeout: time ran out.
            BlockingCallError: there is no chunk, and this thread runs a loop of the runtime.
        """
        chunk = self._chunks.get(timeout)
        self._taken()
        return chunk

    async def take_async(self) -> T:
        """Wait for the next chunk.

        Raises:
            StopAsyncIteration: it has ended and nothing waits.
        """
        chunk = await self._chunks.__anext__()
        self._taken()
        return chunk

    def _taken(self) -> None:
        limit = self._credit.take()
        if limit is not None and not self._chunks.closed:
            self._grant(limit)
