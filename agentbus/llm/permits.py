"""What one request to a model may take, and what it took: permits of a limiter, and the handler's budget."""

from __future__ import annotations

from random import Random
from types import TracebackType

from agentbus.agents import AgentRef
from agentbus.llm.answer import Usage
from agentbus.llm.limiter import Acquire, Release
from agentbus.llm.refusals import limited_for


class Meter:
    """Lets one request go when it may, and counts it.

    `async with meter as tokens` waits for the permit and gives the tokens that the answer may take; at the
    end the permit goes back. It may be entered again for another attempt.

    Args:
        limiter: gives the permits; None = no limit.
        prompt_tokens: an estimate.
        max_tokens: that the answer may take.

    Attributes:
        prompt_tokens: as given.
        random: for the jitter between attempts.
    """

    def __init__(self, limiter: AgentRef | None, prompt_tokens: int, max_tokens: int) -> None:
        self._limiter = limiter
        self.prompt_tokens = prompt_tokens
        self._max_tokens = max_tokens
        self._key: str | None = None
        self._usage: Usage | None = None
        self.random = Random()

    async def __aenter__(self) -> int:
        tokens = self._max_tokens
        self._usage = None
        if self._limiter is not None:
            permit = await self._limiter.ask(Acquire(tokens=self.prompt_tokens + tokens))
            self._key = permit.key
        return tokens

    def spend(self, usage: Usage) -> None:
        """Count what the request took."""
        self._usage = usage

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the permit back."""
        del kind, traceback
        if self._limiter is None or self._key is None:
            return
        key, self._key = self._key, None
        wait = limited_for(error)
        tokens = None if self._usage is None else self._usage.total
        if error is not None and tokens is None and wait is None:
            tokens = self.prompt_tokens  # it may have been taken and not answered
        self._limiter.tell(Release(key=key, tokens=tokens, retry_after=wait))
