"""One write per connection and loop turn.

A system call costs more than all that Python does for a frame, so pieces are gathered while the loop handles
what came in, and each connection writes once when the turn is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Dirty(Protocol):
    """A connection with pieces to write."""

    def flush(self) -> None:
        """Write them."""


class Flusher:
    """Flush every connection that has something to write, once per turn of the loop.

    Args:
        loop: on which the connections live; one flusher serves them all.
        call_soon: puts the flush behind what is under way; by default a turn of the loop later.
    """

    __slots__ = ("_call_soon", "_dirty", "loop")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        call_soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.loop = loop
        self._call_soon = call_soon or loop.call_soon
        self._dirty: list[Dirty] = []

    def mark(self, connection: Dirty) -> None:
        """Let a connection flush at the end of this turn; to be called once per connection and turn."""
        dirty = self._dirty
        if not dirty:
            self._call_soon(self._flush)
        dirty.append(connection)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        rest = iter(dirty)
        try:
            for connection in rest:
                connection.flush()
        finally:  # a connection that can't write is no reason for the others to wait for ever
            for connection in rest:
                self.mark(connection)
