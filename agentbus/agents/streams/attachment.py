"""What a handler reads of what was attached to its message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from agentbus.errors import StreamClosedError
from agentbus.runtime.inlet import Inlet

ATTACHMENT_CREDIT = 16
"""Chunks that wait for a handler before the source pauses."""


class Attachment:
    """Chunks in order, for `for` in a thread and `async for` on a loop. The source is read only once this is.

    Args:
        grant: see `Inlet`.
    """

    __slots__ = ("_error", "_inlet")

    def __init__(self, grant: Callable[[int], object]) -> None:
        self._inlet: Inlet[Any] = Inlet(ATTACHMENT_CREDIT, grant)
        self._error: BaseException | None = None

    # -- for the bus -----------------------------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether no more will come."""
        return self._inlet.ended

    @property
    def begun(self) -> bool:
        """Whether somebody has begun to read."""
        return self._inlet.opened

    def put(self, chunk: Any) -> bool:
        """Add a chunk; False, and it is dropped, if the source had no credit for it."""
        return self._inlet.put(chunk)

    def end(self, error: BaseException | None = None) -> None:
        """No more chunks come; the reader gets the error after what has arrived. The first call counts."""
        if not self._inlet.ended:
            self._error = error
            self._inlet.end()

    # -- for the handler -------------------------------------------------------------------------------------

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        self._inlet.open()
        try:
            return self._inlet.take()
        except StreamClosedError:
            self._raise_error()
            raise StopIteration from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        self._inlet.open()
        try:
            return await self._inlet.take_async()
        except StopAsyncIteration:
            self._raise_error()
            raise

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error from None
