"""What has become of jobs, as those see it who put them: values, errors, and the stream of both."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import msgspec

from agentbus.agents.failures import rebuild
from agentbus.agents.handlers import decode_reply
from agentbus.agents.message import Streaming
from agentbus.agents.queues.calls import GONE, QueueCalls
from agentbus.agents.queues.core.job import JobEnd, Value
from agentbus.agents.queues.messages import Results
from agentbus.agents.streams.stream import AgentStream
from agentbus.errors import (
    ForkedError,
    JobCancelled,
    JobError,
    JobFailed,
    JobRejected,
    JobTimeoutError,
    StreamClosedError,
    UndecodableMessageError,
)
from agentbus.runtime import Future
from agentbus.runtime.reading import Readable

Chunk = TypeVar("Chunk")
T = TypeVar("T")


class JobResult(msgspec.Struct, frozen=True):
    """How a job has ended.

    Attributes:
        job_id: whose end it is.
        value: what it has given: a message, or JSON values; None without any.
        error: a `JobError` that says why it has given nothing; an `UndecodableMessageError` if this process
            can't read what it has given.
        attempts: how many it took.
    """

    job_id: str
    value: Any = None
    error: Exception | None = None
    attempts: int = 0


def result_of(queue: str, end: JobEnd, expected: Any = None, near: str | None = None) -> JobResult:
    """Read the end of a job.

    Args:
        queue: whose.
        end: as the host told it.
        expected: what the job's message promises, or None.
        near: the module of that message's class.
    """
    error = _error_of(queue, end)
    if error is not None:
        return JobResult(end.job_id, None, error, end.attempts)
    try:
        value = None if end.value is None else _read(end.value, expected, near)
    except UndecodableMessageError as unreadable:
        return JobResult(end.job_id, None, unreadable, end.attempts)
    return JobResult(end.job_id, value, None, end.attempts)


def _read(value: Value, expected: Any, near: str | None) -> Any:
    return decode_reply(value.type, value.version, value.body, expected=expected, near=near)


def _error_of(queue: str, end: JobEnd) -> Exception | None:
    if end.state == "done":
        return None
    cause = None if end.failure is None else rebuild(end.failure)
    if end.state == "cancelled":
        return JobCancelled(queue, end.job_id, end.attempts)
    if isinstance(cause, JobTimeoutError):
        return cause
    kind: type[JobFailed | JobRejected] = JobRejected if end.state == "rejected" else JobFailed
    error: JobError = kind(queue, end.job_id, end.attempts, _reason(cause))
    error.__cause__ = cause
    return error


def _reason(cause: Exception | None) -> str:
    """Give a failure's text; one of the program's own is told by its type, too."""
    if cause is None:
        return "no reason was given"
    return str(cause)


class QueueStream(Readable, Generic[Chunk, T]):
    """What a queue tells from now on, for `for` and `async for`; it goes on with the host's successor.

    What happened while there was no host, or before the successor heard of the reader, is not in it, unless
    a subclass says so. Closing it (`with`, `async with`), or dropping it, ends it. One consumer at a time.

    Args:
        calls: finds the host.
        message: what it is asked.
        read: makes of a chunk what is given out.
    """

    def __init__(self, calls: QueueCalls, message: Streaming[Chunk], read: Callable[[Chunk], T]) -> None:
        self._calls = calls
        self._message = message
        self._read = read
        self._closed = False
        self._stream: Future[AgentStream[Chunk]] = calls.stream(message)

    def close(self) -> None:
        """Want no more: what has arrived is gone, too."""
        self._closed = True
        self._stream.add_done_callback(_cancel)

    def __del__(self) -> None:
        with suppress(ForkedError):
            self.close()

    # -- threads ---------------------------------------------------------------------------------------------

    def get(self, timeout: float | None = None) -> T:
        """Wait for the next.

        Args:
            timeout: seconds to wait at most; None = for ever.

        Raises:
            StreamClosedError: it is closed.
            FutureTimeout: time ran out; the stream goes on.
            BlockingCallError: there is none yet, and this thread runs a loop of the runtime.
            AgentError: what ended it, such as `ResultsLostError`.
        """
        end = None if timeout is None else self._calls.now() + timeout
        while not self._closed:
            try:
                chunk = self._stream.get(self._left(end)).get(self._left(end))
            except GONE:
                self._again()
                continue
            if self._is_news(chunk):
                return self._read(chunk)
        raise StreamClosedError("it is closed")

    def _left(self, end: float | None) -> float | None:
        return None if end is None else max(0.0, end - self._calls.now())

    # -- loops -----------------------------------------------------------------------------------------------

    async def __anext__(self) -> T:
        while not self._closed:
            try:
                chunk = await anext(await self._stream)
            except GONE:
                self._again()
                continue
            if self._is_news(chunk):
                return self._read(chunk)
        raise StopAsyncIteration

    def _again(self) -> None:
        if not self._closed:
            self._stream = self._calls.stream(self._message, again=True)

    def _is_news(self, chunk: Chunk) -> bool:  # noqa: ARG002 -- `ResultStream` looks at it
        """Whether a chunk is for who reads."""
        return True


class ResultStream(QueueStream[JobEnd, JobResult]):
    """The ends of jobs from now on; it goes on with the host's successor where the last one ended.

    What has been forgotten meanwhile, as it was too old or too much, ends it with a `ResultsLostError`.
    """

    def _is_news(self, chunk: JobEnd) -> bool:
        """Note how far the reader is."""
        self._message = Results(chunk.at)
        return bool(chunk.job_id)


def _cancel(opening: Future[AgentStream[Any]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.get().cancel()
