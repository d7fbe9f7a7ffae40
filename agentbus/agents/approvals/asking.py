"""What an agent calls before it does what a person must allow."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from agentbus.agents.approvals.messages import AwaitVerdict, RequestApproval, Verdict
from agentbus.agents.budgets.budget import Budget
from agentbus.agents.message import Request
from agentbus.agents.ref import AgentRef
from agentbus.agents.scope import current_scope
from agentbus.errors import (
    AgentFailed,
    AgentRestarted,
    AgentStopped,
    ApprovalExpired,
    AskTimeoutError,
    MailboxFullError,
    NoSuchAgentError,
    OutcomeUnknownError,
)

DAY = 86_400.0

ASK_TIMEOUT = 60.0
"""Seconds after which a question is put again: it is cheap, and the answer may have been lost with a node."""

RETRY_DELAY = 0.5

GRACE = 120.0
"""Seconds beyond the time of a request in which the desk may come back and say what became of it."""

T = TypeVar("T")
_MAY_PASS = (
    AgentFailed,
    AgentRestarted,
    AgentStopped,
    AskTimeoutError,
    MailboxFullError,
    NoSuchAgentError,
    OutcomeUnknownError,
)


async def approved(desk: AgentRef, *, action: str, payload: Any, key: str, ttl: float = DAY) -> Verdict:
    """Ask for approval and wait for it; go on only if this returns.

    Called again with the same key, after a restart of the caller or of the desk, it is the same request and
    gets the same verdict. While the desk is away it keeps trying. Who does not act at once calls
    `verdict.check(payload)` right before the effect.

    Args:
        desk: an `ApprovalDesk`.
        action: what is to be done, for people.
        payload: with what, as JSON values.
        key: names this one effect.
        ttl: seconds in which somebody has to decide.

    Raises:
        ApprovalDenied: somebody said no.
        ApprovalExpired: nobody said anything in time, or the desk could not be reached until after it: then
            the cause says why, and asking again under the key gets what the desk knows.
        PayloadChanged: another payload was asked for under this key.
        TooManyApprovalsError: the desk takes no more.
        ValueError: the desk takes no such request.
    """
    insistence = Insistence(key, asyncio.get_running_loop().time() + ttl + GRACE)
    request = RequestApproval(key=key, action=action, payload=payload, ttl=ttl)
    await insistence.ask(desk, request)
    verdict = await insistence.ask(desk, AwaitVerdict(key=key))
    verdict.check(payload)
    return verdict


class Insistence:
    """Ask until there is an answer, or the time is over.

    Args:
        key: of the request that it is about.
        end: of the time, on the loop's clock.
    """

    def __init__(self, key: str, end: float) -> None:
        self._key = key
        self._end = end

    async def ask(self, desk: AgentRef, message: Request[T]) -> T:
        """Ask the desk.

        Raises:
            ApprovalExpired: it could not be reached in time.
        """
        while True:
            try:
                return await desk.ask(message, timeout=ASK_TIMEOUT, budget=_next_to_nothing())
            except _MAY_PASS as error:
                if asyncio.get_running_loop().time() >= self._end:
                    raise ApprovalExpired(self._key) from error
            await asyncio.sleep(RETRY_DELAY)


def _next_to_nothing() -> Budget | None:
    """Give the part of a handler's budget that it can lose, should the desk die with it."""
    scope = current_scope.get()
    return None if scope is None or scope.account is None else Budget(tokens=1, money="0.000001")
