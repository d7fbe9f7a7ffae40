"""What one request to a model may take, and what it took: permits of a limiter, and the handler's budget."""

from __future__ import annotations

from contextvars import Context
from random import Random
from types import TracebackType

from agentbus.agents import AgentRef
from agentbus.agents.budgets.account import Hold
from agentbus.agents.scope import current_scope
from agentbus.llm.answer import Usage
from agentbus.llm.limiter import Acquire, Release
from agentbus.llm.prices import FREE, Prices
from agentbus.llm.refusals import limited_for, status_of


class Meter:
    """Lets one request go when it may, and counts it.

    `async with meter as tokens` waits for the permit and gives the tokens that the answer may take; at the
    end the permit goes back. It may be entered again for another attempt.

    In a handler with a budget, what the request may cost is set aside before it leaves, the answer that is
    asked for is no longer than what is left, and what was not used is free again afterwards.

    Args:
        limiter: gives the permits; None = no limit.
        prompt_tokens: an estimate.
        max_tokens: that the answer may take.
        prices: what tokens cost.

    Attributes:
        prompt_tokens: as given.
        random: for the jitter between attempts.
    """

    def __init__(
        self, limiter: AgentRef | None, prompt_tokens: int, max_tokens: int, prices: Prices = FREE
    ) -> None:
        self._limiter = limiter
        self._prices = prices
        self._hold: Hold | None = None
        self.prompt_tokens = prompt_tokens
        self._max_tokens = max_tokens
        self._key: str | None = None
        self._usage: Usage | None = None
        self.random = Random()

    async def __aenter__(self) -> int:
        self._usage = None
        tokens = self._set_aside()
        if self._limiter is not None:
            try:
                # outside the handler's scope: as a part of its work it would take its whole budget along
                wanted = Acquire(tokens=self.prompt_tokens + tokens)
                permit = await Context().run(self._limiter.ask, wanted)
            except BaseException:
                self._pay(Usage())
                raise
            self._key = permit.key
        return tokens

    def _set_aside(self) -> int:
        """Take what the request may cost out of the handler's budget; gives the tokens for its answer."""
        scope = current_scope.get()
        account = None if scope is None else scope.account
        if account is None:
            return self._max_tokens
        tokens = self._prices.affordable(self.prompt_tokens, self._max_tokens, account.left)
        most = Usage(self.prompt_tokens, tokens)
        self._hold = account.hold(tokens=most.total, money=self._prices.of(most))
        return tokens

    def _pay(self, usage: Usage | None) -> None:
        """Settle with the budget; what nobody knows the cost of has cost all that was set aside."""
        hold, self._hold = self._hold, None
        if hold is not None and usage is not None:
            hold.settle(tokens=usage.total, money=self._prices.of(usage))

    def spend(self, usage: Usage) -> None:
        """Count what the request took."""
        self._usage = usage

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the permit back."""
        del kind, traceback
        wait = limited_for(error)
        usage = self._usage
        if usage is None and error is not None:  # refused, it cost nothing; else it may have been read
            usage = Usage(0 if status_of(error) is not None else self.prompt_tokens)
        self._pay(usage)
        if self._limiter is not None and self._key is not None:
            key, self._key = self._key, None
            tokens = None if usage is None else usage.total
            self._limiter.tell(Release(key=key, tokens=tokens, retry_after=wait))
