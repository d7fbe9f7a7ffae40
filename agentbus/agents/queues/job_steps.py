"""What agents can say and ask while they handle a job: `self.job`, `self.effect(…)`, `self.once(…)`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from agentbus.agents.queues.attempt import Attempt
from agentbus.agents.queues.effects import AsyncEffect, ThreadEffect
from agentbus.agents.queues.job_context import JobContext
from agentbus.agents.scope import Scope, current_scope
from agentbus.errors import AgentError

T = TypeVar("T")


def attempt_of(scope: Scope | None) -> Attempt | None:
    """Give the job that the running code handles, if it does."""
    delivery = None if scope is None else scope.delivery
    return None if delivery is None else delivery.attempt


def _current_attempt() -> Attempt:
    attempt = attempt_of(current_scope.get())
    if attempt is None:
        raise AgentError("there is no job here: this is for handlers of jobs that came from a queue")
    return attempt


class _Jobs:
    """What both kinds of agent have in common."""

    @property
    def job(self) -> JobContext:
        """The job that is being handled: its id, attempt and idempotency key.

        Raises:
            AgentError: what is being handled is no job of a queue.
        """
        return JobContext(_current_attempt())


class JobSteps(_Jobs):
    """For handlers on a thread."""

    def effect(self, name: str, *, retry: bool = False) -> ThreadEffect:
        """Do a step of a job at most once over all attempts: `with self.effect("charge") as effect: …`.

        See `JobEffect`. The intent is recorded before the block, the result after it.

        Args:
            name: of the step; the same in every attempt.
            retry: enter it also if an earlier attempt began it and nobody knows whether it happened:
                `effect.in_doubt` says so. Without it that raises `EffectInDoubtError`.

        Raises:
            AgentError: what is being handled is no job of a queue.
            ValueError: a name that is empty or longer than 200 characters.
        """
        return ThreadEffect(_current_attempt(), name, retry=retry)

    def once(self, name: str, fn: Callable[..., T], *args: Any, retry: bool = False) -> T:
        """Call `fn(*args)` at most once over all attempts of a job; later attempts get what it gave.

        Args:
            name: see `effect`.
            fn: its result has a JSON form, in which later attempts get it.
            args: for `fn`.
            retry: see `effect`.
        """
        with self.effect(name, retry=retry) as effect:
            if not effect.needed:
                return cast("T", effect.value)
            result = fn(*args)
            effect.done(result)
        return result


class AsyncJobSteps(_Jobs):
    """For handlers on a loop."""

    def effect(self, name: str, *, retry: bool = False) -> AsyncEffect:
        """Do a step of a job at most once over all attempts: `async with self.effect("charge") as effect: …`.

        See `JobSteps.effect`.

        Args:
            name: see there.
            retry: see there.
        """
        return AsyncEffect(_current_attempt(), name, retry=retry)

    async def once(
        self, name: str, fn: Callable[..., Awaitable[T] | T], *args: Any, retry: bool = False
    ) -> T:
        """Call `fn(*args)` at most once over all attempts of a job; later attempts get what it gave.

        Args:
            name: see `effect`.
            fn: sync or async; its result has a JSON form, in which later attempts get it.
            args: for `fn`.
            retry: see `effect`.
        """
        async with self.effect(name, retry=retry) as effect:
            if not effect.needed:
                return cast("T", effect.value)
            given: Any = fn(*args)
            result: T = await given if inspect.isawaitable(given) else given
            effect.done(result)
        return result
