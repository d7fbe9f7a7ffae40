"""Chunks on their way to another node: encoded by their producer, sent from the I/O loop once per turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from agentbus.agents.envelope import Envelope, Kind
from agentbus.agents.failures import describe
from agentbus.agents.streams.chunks import Chunk, batches, encode_chunk, join
from agentbus.errors import BodyTooLargeError, EncodeError, MailboxFullError
from agentbus.runtime import Loop
from agentbus.runtime.outlet import Outlet

RETRY_DELAY = 0.05
"""Seconds until a link whose queue was full is tried again; the producer is held up meanwhile."""


class ChunkSender:
    """The outlet of a producer whose consumer is on another node.

    What waits here is at most the credit that the producer has used since its last turn.

    Args:
        loop: the I/O loop.
        post: sends an envelope; it raises what `Exchange.answer` does.
        failed: told, at most once, that a chunk has no wire form or is too large; on any thread.
        limit: credit from the beginning.

    Attributes:
        outlet: for the producer.
        head: an envelope that names the stream; set before the first credit comes.
    """

    def __init__(
        self,
        loop: Loop,
        post: Callable[[Envelope], object],
        failed: Callable[[Exception], object],
        limit: int = 0,
    ) -> None:
        self.outlet: Outlet[Any] = Outlet(self._put, limit)
        self.head = Envelope("", Kind.CHUNK)
        self._loop = loop
        self._post = post
        self._failed = failed
        self._waiting: deque[Chunk] = deque()
        self._last: Envelope | None = None
        self._due = False
        self._problem: Exception | None = None

    def _put(self, value: Any) -> None:
        """Take a chunk on the producer's thread; those of one turn leave together."""
        try:
            self._waiting.append(encode_chunk(value))
        except EncodeError as error:
            self._failed(error)  # which closes the outlet: no later chunk comes
            return
        if not self._due:
            self._due = True
            self._loop.call_soon(self.flush)

    def end(self, envelope: Envelope) -> None:
        """Send what waits, and this last; on the I/O loop."""
        self._last = envelope
        self.flush()

    def flush(self) -> None:
        """Send what waits; on the I/O loop."""
        self._due = False
        chunks: list[Chunk] = []
        while self._waiting:
            chunks.append(self._waiting.popleft())
        todo = deque(batches(chunks))
        try:
            while todo and self._problem is None:
                self._send_first(todo)
            self._send_last()
        except MailboxFullError:
            self._wait_for_room(todo)
        else:
            self.outlet.pause(paused=False)

    def _send_first(self, todo: deque[list[Chunk]]) -> None:
        """Send the chunks that are next in one envelope; if that is too small, put them back in two."""
        batch = todo[0]
        try:
            self._post(self._envelope(batch))
        except BodyTooLargeError as error:
            todo.popleft()
            if len(batch) == 1:
                self._problem = error  # nothing is sent behind a chunk that can't be
                self._failed(error)
            else:
                half = len(batch) // 2
                todo.extendleft((batch[half:], batch[:half]))
        else:
            todo.popleft()

    def _envelope(self, batch: list[Chunk]) -> Envelope:
        kind, version = batch[0].type, batch[0].version
        return msgspec.structs.replace(self.head, type=kind, version=version, body=join(batch))

    def _send_last(self) -> None:
        if self._last is not None:
            if self._problem is not None and self._last.failure is None:  # the producer was done by then
                self._last = msgspec.structs.replace(self._last, failure=describe(self._problem))
            self._post(self._last)
            self._last = None

    def _wait_for_room(self, todo: deque[list[Chunk]]) -> None:
        """Keep what did not get into the link, and hold the producer up until it is in."""
        self.outlet.pause(paused=True)
        for batch in reversed(todo):
            self._waiting.extendleft(reversed(batch))
        self._due = True
        self._loop.call_later(RETRY_DELAY, self.flush)
