"""`Attempt`: a leased job in the hands of a handler, and what comes of it as a settlement."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from agentbus.agents.budgets.account import BudgetAccount
from agentbus.agents.budgets.wire import spent_of
from agentbus.agents.calls import type_and_version
from agentbus.agents.envelope import encode_body
from agentbus.agents.failures import Failure, describe, encodable
from agentbus.agents.message import Message
from agentbus.agents.queues.core.job import Effect, LeasedJob, NewJob, Value
from agentbus.agents.queues.messages import Settlement
from agentbus.errors import (
    BodyTooLargeError,
    EffectInDoubtError,
    EncodeError,
    Reject,
    Retry,
    UndecodableMessageError,
    UnhandledMessageError,
)
from agentbus.runtime import Future
from agentbus.runtime.faults import RelayedFailure

MAX_VALUE_BYTES = 3 * 1024 * 1024
"""Of what a job gives, and of the jobs that it puts with its ack: both have to go into one message."""

MAX_TRACEBACK = 16_000
"""Characters of a traceback that travel; its end says most."""


class Ran(Message, wire_name="agentbus.queue.Ran"):
    """What a replica answers when a handler has ended. Attributes: None if it gave in to its cancelling."""

    settlement: Settlement | None = None


class Desk(Protocol):
    """What an attempt tells those who hold its lease; from any thread."""

    def progress(self, token: str, done: float | None, note: str) -> None:
        """The handling goes on."""
        ...

    def record(self, token: str, job_id: str, effect: Effect) -> Future[None]:
        """Keep an effect; the future is done once it is durable, and fails with `LeaseLostError`."""
        ...

    def ended(self, token: str, settlement: Settlement | None) -> None:
        """The handler has ended, even if nobody waits for that any more; None if it gave in."""
        ...

    def broke(self, token: str, settlement: Settlement) -> None:
        """The attempt's agent has ended under it; what the handler itself says goes before this."""
        ...


class Attempt:
    """One attempt of a job.

    Args:
        lease: the job.
        queue: name of its queue.
        desk: see `Desk`.

    Attributes:
        begun: whether its handler was called.
        noticed: whether the handler has seen that it is cancelled; what it gives after that counts for
            nothing.
        jobs: what is put together with its ack.
        effects: by name, as far as they are known.
        kill: ends the process in which the handler works; None where it has none of its own.
    """

    __slots__ = ("begun", "desk", "effects", "jobs", "kill", "lease", "noticed", "queue")

    def __init__(self, lease: LeasedJob, queue: str, desk: Desk) -> None:
        self.lease = lease
        self.queue = queue
        self.desk = desk
        self.begun = False
        self.noticed = False
        self.jobs: list[NewJob] = []
        self.kill: Callable[[], object] | None = None
        self.effects = {effect.name: effect for effect in lease.effects}

    def gave(self, value: Any, account: BudgetAccount | None) -> Settlement:
        """Make the settlement of a handler that has given a value."""
        try:
            given = value_of(value)
        except (EncodeError, BodyTooLargeError) as error:
            return self.raised(error, account)
        return Settlement(self.lease.token, "ack", value=given, jobs=tuple(self.jobs), spent=_spent(account))

    def raised(self, error: BaseException, account: BudgetAccount | None) -> Settlement:
        """Make the settlement of a handler that has raised."""
        settlement = settlement_of(self.lease.token, error)
        return msgspec.structs.replace(settlement, spent=_spent(account))

    def refused(self, error: BaseException, account: BudgetAccount | None) -> Settlement:
        """Make the settlement of a job that never came to its handler, or whose handler answers with that."""
        return msgspec.structs.replace(refusal_of(self.lease.token, error), spent=_spent(account))


def value_of(value: Any) -> Value:
    """Put what a handler gave into the form in which it is kept.

    Raises:
        EncodeError: it has no JSON form.
        BodyTooLargeError: it has more bytes than a result may have.
    """
    try:
        body = encode_body(value)
    except (TypeError, ValueError, RecursionError) as problem:
        raise EncodeError(f"the result has no JSON form: {problem}") from None
    if len(body) > MAX_VALUE_BYTES:
        raise BodyTooLargeError(len(body), MAX_VALUE_BYTES)
    return Value(*type_and_version(value), body)


def settlement_of(token: str, error: BaseException) -> Settlement:
    """Make the settlement of an attempt that has failed: `Retry` and `Reject` say what follows.

    An effect in doubt stays so in every further attempt: only people can find out, or a handler that asks.
    """
    if isinstance(error, Reject | EffectInDoubtError):
        return unusable(token, error)
    if isinstance(error, Retry):
        return Settlement(token, "fail", failure=describe(error), retry_in=error.in_)
    return Settlement(token, "fail", failure=failure_of(error), traceback=_trace(error))


def refusal_of(token: str, error: BaseException) -> Settlement:
    """Make the settlement of an attempt that an agent has refused.

    As with any message (agents.md), one that it can't read, or has no handler for, is a dead letter.
    """
    unreadable = isinstance(error, UndecodableMessageError | UnhandledMessageError)
    return unusable(token, error) if unreadable else settlement_of(token, error)


def unusable(token: str, error: BaseException) -> Settlement:
    """Make the settlement of a job that no further attempt could end otherwise: a dead letter at once."""
    return Settlement(token, "reject", failure=describe(error))


def failure_of(error: BaseException) -> Failure:
    """Describe an error; what was raised in a process of its own under its own name."""
    if isinstance(error, RelayedFailure):
        fields = {"error_type": error.error_type, "error_message": error.error_message}
        return Failure("AgentFailed", error.error_message, fields)
    return describe(error)


def _trace(error: BaseException) -> str:
    return encodable("".join(traceback.format_exception(error))[-MAX_TRACEBACK:])


def _spent(account: BudgetAccount | None) -> Any:
    return None if account is None else spent_of(account)
