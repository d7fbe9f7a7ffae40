"""`self.job`: the job that a handler works on."""

from __future__ import annotations

from typing import Any

from agentbus.agents.handlers import decode_reply
from agentbus.agents.queues.attempt import MAX_VALUE_BYTES, Attempt, value_of
from agentbus.agents.queues.core.job import NewJob
from agentbus.agents.queues.new_jobs import JobOptions
from agentbus.errors import BodyTooLargeError

JOB_BYTES = 500
"""About what a job takes beside its message."""


class JobContext:
    """A job, as its handler sees it.

    Args:
        attempt: which attempt of it.
    """

    __slots__ = ("_attempt",)

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def __repr__(self) -> str:
        return f"<job {self.id} of {self.queue!r}, attempt {self.attempt}>"

    @property
    def id(self) -> str:
        """Its id on the queue."""
        return self._attempt.lease.id

    @property
    def queue(self) -> str:
        """Name of its queue."""
        return self._attempt.queue

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self._attempt.lease.attempt

    @property
    def key(self) -> str:
        """Its idempotency key, the same over all attempts: what other services tell a repetition by."""
        return self._attempt.lease.key

    @property
    def tenant(self) -> str:
        """Whose share of the service it takes; empty if nobody's."""
        return self._attempt.lease.tenant

    @property
    def inputs(self) -> list[Any]:
        """What the steps before it in its flow have given, as messages or JSON values."""
        return [
            decode_reply(value.type, value.version, value.body, expected=None, near=None)
            for value in self._attempt.lease.inputs
        ]

    def put(
        self,
        message: Any,
        *,
        priority: int = 0,
        delay: float = 0.0,
        unique: str | None = None,
        key: str | None = None,
        tenant: str | None = None,
        max_attempts: int | None = None,
    ) -> str:
        """Put a job on the same queue together with the ack of this one, or not at all.

        Args:
            message: a `Message`.
            priority: higher goes first.
            delay: seconds until it may start.
            unique: while a job with this text is not over, another is not put.
            key: its idempotency key; by default its id.
            tenant: by default this job's.
            max_attempts: before it is a dead letter; by default the queue's.

        Returns:
            Its id, the same whenever this job is tried again.

        Raises:
            EncodeError: the message has no JSON form.
            BodyTooLargeError: all jobs that are put with this ack have more than 3 MiB.
            ValueError: an option makes no sense.
        """
        JobOptions(
            delay=delay,
            unique=unique,
            key=key,
            tenant=tenant or "",
            max_attempts=max_attempts,
        )
        attempt = self._attempt
        body = value_of(message)
        size = sum(len(job.body) + JOB_BYTES for job in attempt.jobs) + len(body.body) + JOB_BYTES
        if size > MAX_VALUE_BYTES:
            raise BodyTooLargeError(size, MAX_VALUE_BYTES)
        job_id = f"{attempt.lease.id}.{len(attempt.jobs) + 1}"
        attempt.jobs.append(
            NewJob(
                job_id,
                body.type,
                body.version,
                body.body,
                priority=priority,
                delay=delay,
                unique=unique,
                key=key,
                tenant=self.tenant if tenant is None else tenant,
                max_attempts=max_attempts,
            )
        )
        return job_id
