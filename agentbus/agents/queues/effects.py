"""Effects: steps of a job that must not be repeated, recorded beside it under its idempotency key.

    with self.effect("charge-card") as effect:            # async with, in an AsyncAgentActor
        if effect.needed:
            effect.done(bank.charge(card, key=self.job.key))

Entering records the intent, leaving records the result; both are durable when the code goes on. So a later
attempt knows one of three things: it was not begun; it is done, with its value; or it was begun, and nobody
knows how that went on. In the last case only the handler can find out: entering raises `EffectInDoubtError`,
unless it says `retry=True`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from agentbus.agents.envelope import encode_body
from agentbus.agents.failures import encodable
from agentbus.agents.queues.attempt import Attempt
from agentbus.agents.queues.core.job import Effect
from agentbus.errors import AgentError, EffectInDoubtError, EncodeError
from agentbus.runtime import Future

T = TypeVar("T")
MAX_NAME = 200
"""Characters of an effect's name."""


class JobEffect:
    """One effect of the job that is being handled.

    Args:
        attempt: whose.
        name: of the effect.
        retry: whether it may be done again where an earlier attempt has begun it.

    Attributes:
        name: see above.
        in_doubt: an earlier attempt has begun it and did not say that it was done.

    Raises:
        ValueError: a name that is empty or too long.
    """

    def __init__(self, attempt: Attempt, name: str, *, retry: bool) -> None:
        if not 0 < len(name) <= MAX_NAME or encodable(name) != name:
            raise ValueError(f"an effect's name is a text of 1 to {MAX_NAME} characters that can be sent")
        self.name = name
        self._attempt = attempt
        self._retry = retry
        known = attempt.effects.get(name)
        self.in_doubt = known is not None and not known.done
        self._found = known if known is not None and known.done else None
        self._value = msgspec.Raw(b"null")
        self._entered = False

    @property
    def needed(self) -> bool:
        """Whether it is to be done, as no attempt has said that it is."""
        return self._found is None

    def done(self, value: Any = None) -> None:
        """Say that it is done; without this it is done when the block ends without an exception.

        Args:
            value: what later attempts get to know of it; it has a JSON form.

        Raises:
            EncodeError: it has none.
            AgentError: the block was not entered, or the effect was done by an earlier attempt.
        """
        if not self._entered or self._found is not None:
            raise AgentError(f"effect {self.name!r} is not being done: enter it, and look at `needed`")
        try:
            self._value = encode_body(value)
        except (TypeError, ValueError, RecursionError) as problem:
            raise EncodeError(f"the effect's value has no JSON form: {problem}") from None

    @property
    def value(self) -> Any:
        """What `done` was told, in this attempt or an earlier one, as JSON values."""
        return msgspec.json.decode(self._raw)

    def value_as(self, kind: type[T]) -> T:
        """Give what `done` was told as a Struct or any type that msgspec knows.

        Raises:
            msgspec.ValidationError: it is none.
        """
        return msgspec.json.decode(self._raw, type=kind)

    @property
    def _raw(self) -> msgspec.Raw:
        return self._value if self._found is None else self._found.value

    # -- the block -------------------------------------------------------------------------------------------

    def _begin(self) -> Future[None] | None:
        """Record the intent; None if there is nothing to record.

        Raises:
            EffectInDoubtError: see above.
        """
        self._entered = True
        if not self.needed:
            return None
        attempt = self._attempt
        if self.in_doubt:
            if not self._retry:
                raise EffectInDoubtError(attempt.queue, attempt.lease.id, self.name)
            return None
        return self._record(Effect(self.name))

    def _finish(self) -> Future[None]:
        return self._record(Effect(self.name, done=True, value=self._value))

    def _record(self, effect: Effect) -> Future[None]:
        lease = self._attempt.lease
        self._attempt.effects[effect.name] = effect
        return self._attempt.desk.record(lease.token, lease.id, effect)


class ThreadEffect(JobEffect):
    """An effect in an `AgentActor`: its block begins, and goes on behind its end, once that is durable."""

    def __enter__(self) -> Self:
        begun = self._begin()
        if begun is not None:
            begun.get()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self.needed:
            self._finish().get()


class AsyncEffect(JobEffect):
    """An effect in an `AsyncAgentActor`, for `async with`; else as a `ThreadEffect`."""

    async def __aenter__(self) -> Self:
        begun = self._begin()
        if begun is not None:
            await begun
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self.needed:
            await self._finish()
