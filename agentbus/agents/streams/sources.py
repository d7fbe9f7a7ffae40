"""What can be attached to a message, and how its chunks get out: never ahead of the reader.

An async iterable is read on the loop where `ask` was called, else on the agents' loop; an iterable or a
binary file on a thread for callbacks, in steps of as much as there is credit for. What has a `close` or an
`aclose` is closed at the end, also if the handler does not read all.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from functools import partial
from typing import Any, BinaryIO, cast

from agentbus.agents.streams.pump import pump_async
from agentbus.errors import AgentError, AttachmentFailed, RuntimeFault, StreamClosedError
from agentbus.runtime import CancelToken, Runtime
from agentbus.runtime.blocking import running_loop
from agentbus.runtime.outlet import Outlet

Attachable = AsyncIterable[Any] | Iterable[Any] | BinaryIO
End = Callable[[Exception | None], object]

BLOCK_BYTES = 32 * 1024
"""A file is read in blocks of so many bytes."""


def check_attachable(source: object) -> None:
    """Refuse early what has no chunks.

    Raises:
        TypeError: it is no iterable and no binary file, or it is a text, whose chunks nobody means.
    """
    if isinstance(source, str) or not isinstance(source, AsyncIterable | Iterable):
        raise TypeError(f"attach= takes an iterable, an async iterable or a binary file, not {type(source)}")


def feed(source: Attachable, outlet: Outlet[Any], end: End, runtime: Runtime) -> None:
    """Read a source into an outlet as credit allows.

    Args:
        source: see `check_attachable`.
        outlet: where its chunks go.
        end: told once of the end: None, or what the source raised, typed for the reader.
        runtime: whose threads and loops.
    """
    if isinstance(source, AsyncIterable):
        _AsyncFeed(source, outlet, end).start(runtime)
    else:
        _SyncFeed(source, outlet, end).start(runtime)


def _typed(error: BaseException) -> Exception:
    """Give what the reader gets: our own errors as they are, others by name."""
    if isinstance(error, AgentError | RuntimeFault):
        return error
    failed = AttachmentFailed(type(error).__qualname__, str(error))
    failed.__cause__ = error
    return failed


class _AsyncFeed:
    def __init__(self, source: AsyncIterable[Any], outlet: Outlet[Any], end: End) -> None:
        self._source = source
        self._outlet = outlet
        self._end = end
        self._task: asyncio.Task[None] | None = None

    def start(self, runtime: Runtime) -> None:
        loop = running_loop()
        if loop is None:
            runtime.agents.call_soon(self._start, runtime.agents.asyncio_loop)
        else:
            self._start(loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self._run())
        self._outlet.on_close(self._keep)

    def _keep(self) -> None:
        """Be referred to by the outlet: a loop holds its tasks weakly."""

    async def _run(self) -> None:
        error: Exception | None = None
        try:
            await pump_async(self._outlet, aiter(self._source), CancelToken())
        except asyncio.CancelledError:
            error = StreamClosedError("the task that read the source was cancelled")
            raise
        except Exception as raised:  # noqa: BLE001 -- the reader's to know
            error = _typed(raised)
        finally:
            self._end(error)


class _SyncFeed:
    def __init__(self, source: Any, outlet: Outlet[Any], end: End) -> None:
        self._chunks = _chunks_of(source)
        self._close = getattr(source if _is_file(source) else self._chunks, "close", None)
        self._outlet = outlet
        self._end = end
        self._over = False

    def start(self, runtime: Runtime) -> None:
        self._lane = runtime.callbacks.lane(self._step)
        self._outlet.when_ready(self._go)

    def _go(self) -> None:
        self._lane.post(None)

    def _step(self, _event: None) -> None:
        """Read what there is credit for; the lane runs one step at a time."""
        outlet = self._outlet
        try:
            while outlet.ready:
                outlet.put(next(self._chunks))
        except StopIteration:
            self._finish(None)
        except Exception as error:  # noqa: BLE001 -- the reader's to know
            self._finish(_typed(error))
        else:
            if outlet.closed:
                self._finish(None)
            else:
                outlet.when_ready(self._go)

    def _finish(self, error: Exception | None) -> None:
        self._lane.close()
        try:
            if self._close is not None:
                self._close()
        except Exception as raised:  # noqa: BLE001 -- the reader's to know
            error = error or _typed(raised)
        self._end(error)


def _is_file(source: object) -> bool:
    return callable(getattr(source, "read", None)) and not isinstance(source, io.TextIOBase)


def _chunks_of(source: Any) -> Iterator[Any]:
    if _is_file(source):
        return iter(partial(cast("BinaryIO", source).read, BLOCK_BYTES), b"")
    if isinstance(source, bytes):
        return (source[at : at + BLOCK_BYTES] for at in range(0, len(source), BLOCK_BYTES))
    return iter(source)
