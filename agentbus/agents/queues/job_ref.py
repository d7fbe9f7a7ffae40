"""`JobRef`: a job that was put."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar, cast

from agentbus.agents.message import Message, reply_type
from agentbus.agents.queues.calls import QueueCalls
from agentbus.agents.queues.core.job import JobEnd, JobStatus, Value
from agentbus.agents.queues.messages import AwaitEnd, GetBody, GetJob, Steer
from agentbus.agents.queues.results import JobResult, result_of
from agentbus.runtime import Future

Reply = TypeVar("Reply")
A = TypeVar("A")
B = TypeVar("B")


class JobRef(Generic[Reply]):
    """A job in a queue. Safe to pass to any thread; `queue.job(ref.id)` gives it again, in any process.

    Attributes:
        id: the job's.
        queue: the queue's name.
    """

    __slots__ = ("_calls", "_expected", "_near", "id", "queue")

    def __init__(
        self, calls: QueueCalls, queue: str, job_id: str, message: type[Message] | None = None
    ) -> None:
        self._calls = calls
        self._expected = None if message is None else reply_type(message)
        self._near = None if message is None else message.__module__
        self.queue = queue
        self.id = job_id

    def __repr__(self) -> str:
        return f"<JobRef {self.id} of {self.queue}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JobRef) and (other.queue, other.id) == (self.queue, self.id)

    def __hash__(self) -> int:
        return hash((self.queue, self.id))

    def result(self, *, timeout: float | None = None) -> Future[Reply]:
        """Give the future of what the job gives; it outlasts restarts of the queue's host.

        Args:
            timeout: seconds to wait; None = until it is over. The job goes on either way.

        Returns:
            The future. It fails with `JobFailed`, `JobRejected`, `JobCancelled` or `JobTimeoutError`, with
            `NoSuchJobError` once the queue has forgotten the job, and with `AskTimeoutError`.
        """

        def settle(end: JobEnd) -> Reply:
            result = self._read(end)
            if result.error is not None:
                raise result.error
            return cast("Reply", result.value)

        return mapped(self._calls.ask(AwaitEnd(self.id), timeout), settle)

    def outcome(self, *, timeout: float | None = None) -> Future[JobResult]:
        """Give the future of the job's end, whichever it is; it fails as `result` does otherwise."""
        return mapped(self._calls.ask(AwaitEnd(self.id), timeout), self._read)

    def _read(self, end: JobEnd) -> JobResult:
        return result_of(self.queue, end, self._expected, self._near)

    def status(self, *, timeout: float | None = None) -> Future[JobStatus]:
        """Give the future of how the job is doing; it fails with `NoSuchJobError`."""
        return self._calls.ask(GetJob(self.id), timeout)

    def body(self, *, timeout: float | None = None) -> Future[Value]:
        """Give the future of the job's message as JSON; of what it has given, once it is done."""
        return self._calls.ask(GetBody(self.id), timeout)

    def cancel(self, *, timeout: float | None = None) -> Future[bool]:
        """Cancel the job, queued or running, with all of its steps.

        Returns:
            The future of whether it was not over.
        """
        asked = self._calls.ask(Steer("cancel", (self.id,)), timeout)
        return mapped(asked, lambda count: count > 0)


def mapped(future: Future[A], read: Callable[[A], B], *, cancellable_by_waiter: bool = True) -> Future[B]:
    """Give the future of what `read` makes of a value; giving it up gives up that, too.

    Args:
        future: of the value.
        read: makes something of it.
        cancellable_by_waiter: see `Future`.
    """
    made: Future[B] = Future(cancellable_by_waiter=cancellable_by_waiter)

    def settle(done: Future[A]) -> None:
        if done.cancelled():
            made.cancel()
            return
        try:
            made.try_set(read(done.get()))
        except Exception as error:  # noqa: BLE001 -- it goes to who asked
            made.try_set_exception(error)

    future.add_done_callback(settle)
    made.on_cancel(future.cancel)
    return made
