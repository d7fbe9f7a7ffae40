"""`AgentStream`: the chunks of one streamed reply, for `for` in a thread and `async for` on any loop."""

from __future__ import annotations

import asyncio
import enum
from contextlib import suppress
from typing import Any, Generic, TypeVar

from agentbus.errors import (
    AgentRestarted,
    AskTimeoutError,
    ForkedError,
    FutureCancelledError,
    OutcomeUnknownError,
    StreamClosedError,
)
from agentbus.runtime import Future
from agentbus.runtime.cell_context import CellContext
from agentbus.runtime.inlet import Inlet
from agentbus.runtime.reading import Readable

T = TypeVar("T")

DEFAULT_CREDIT = 64
"""Chunks that wait for a consumer before its producer pauses."""


class StreamStatus(enum.StrEnum):
    """Where a stream is in its life. All but `OPEN` are final, and leave what arrived to be taken."""

    OPEN = "open"
    COMPLETE = "complete"
    """The handler has ended, and every chunk has arrived."""
    CANCELLED = "cancelled"
    """Nobody wanted more."""
    FAILED = "failed"
    """The handler, or the way to it, failed: see `error`."""
    RESTARTED = "restarted"
    """The agent was restarted meanwhile, or the one that read the stream was."""
    LOST = "lost"
    """The agent's node is dead."""
    EXPIRED = "expired"
    """The deadline passed."""


_ENDINGS: tuple[tuple[type[BaseException], StreamStatus], ...] = (
    (FutureCancelledError, StreamStatus.CANCELLED),
    (AgentRestarted, StreamStatus.RESTARTED),
    (AskTimeoutError, StreamStatus.EXPIRED),
    (OutcomeUnknownError, StreamStatus.LOST),
)


class AgentStream(Readable, Generic[T]):
    """Chunks in order, then the end: `StopIteration`, or the error after all that arrived before it.

    Closing it (`with`, `async with`), cancelling a task that waits for its next chunk, or dropping the last
    reference to it cancels it. One consumer at a time.

    Args:
        inlet: where the chunks wait; None if none ever will.
        future: of the end.

    Attributes:
        future: see above; its value means nothing.
    """

    __slots__ = ("__weakref__", "_inlet", "future")

    def __init__(self, inlet: Inlet[Any] | None, future: Future[Any]) -> None:
        self._inlet = inlet or _no_inlet()
        self.future = future.quiet()

    @staticmethod
    def failed(error: Exception) -> AgentStream[Any]:
        """Make a stream that has failed before its beginning."""
        return AgentStream(None, Future.failed(error))

    def end_with(self, cell: CellContext) -> None:
        """End it when the behaviour that reads it does: with `AgentRestarted` or `AgentStopped`."""
        disown = cell.own(self.future.try_set_exception)
        self.future.add_done_callback(lambda _future: disown())

    def __repr__(self) -> str:
        return f"<AgentStream {self.status}, {self.received} received>"

    @property
    def status(self) -> StreamStatus:
        """Where it is in its life."""
        if not self.future.done():
            return StreamStatus.OPEN
        error = self.future.exception()
        if error is None:
            return StreamStatus.COMPLETE
        found = (status for kind, status in _ENDINGS if isinstance(error, kind))
        return next(found, StreamStatus.FAILED)

    @property
    def error(self) -> BaseException | None:
        """What ended it; None while it is open, once it is complete, and when it was cancelled here."""
        future = self.future
        return None if not future.done() or future.cancelled() else future.exception()

    @property
    def received(self) -> int:
        """How many chunks have arrived, those included that were taken."""
        return self._inlet.received

    def cancel(self) -> bool:
        """Want no more: the producer stops at its next chunk. What arrived can still be taken.

        Returns:
            Whether it was still open.
        """
        return self.future.cancel()

    def close(self) -> None:
        """Do as `cancel`, for `contextlib.closing`."""
        self.cancel()

    # -- threads ---------------------------------------------------------------------------------------------

    def get(self, timeout: float | None = None) -> T:
        """Wait for the next chunk.

        Args:
            timeout: seconds to wait at most; None = until the stream's own deadline.

        Raises:
            StreamClosedError: it is complete or cancelled, and nothing waits.
            FutureTimeout: time ran out; it is an `agentbus.FutureTimeoutError`. The stream goes on.
            BlockingCallError: there is no chunk, and this thread runs a loop of the runtime.
            AgentError: what ended it: see `AgentRef.ask`.
        """
        try:
            chunk: T = self._inlet.take(timeout)
        except StreamClosedError:
            self._raise_error()
            raise
        return chunk

    # -- loops -----------------------------------------------------------------------------------------------

    async def __anext__(self) -> T:
        try:
            chunk: T = await self._inlet.take_async()
        except StopAsyncIteration:
            self._raise_error()
            raise
        except asyncio.CancelledError:
            self.cancel()
            raise
        return chunk

    async def aclose(self) -> None:
        """Do as `cancel`, for `contextlib.aclosing`."""
        self.cancel()

    # -- the end ---------------------------------------------------------------------------------------------

    def _raise_error(self) -> None:
        """Raise what ended it; an end without an error is the caller's to tell."""
        error = self.error
        if error is not None:
            raise error from None

    def __del__(self) -> None:
        if not self.future.done():
            with suppress(ForkedError):
                self.future.cancel()


def _no_inlet() -> Inlet[Any]:
    inlet: Inlet[Any] = Inlet(1, lambda _limit: None)
    inlet.end()
    return inlet
