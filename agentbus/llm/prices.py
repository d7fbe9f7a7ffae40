"""What tokens cost, and how many of them a budget can afford. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from agentbus.agents import Budget
from agentbus.llm.answer import Usage

MILLION: Final = 1_000_000


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """Money for a million tokens, in whatever currency the program counts in.

    Attributes:
        prompt: of what is asked.
        answer: of what is said.
    """

    prompt: Decimal = Decimal(0)
    answer: Decimal = Decimal(0)

    def of(self, usage: Usage) -> Decimal:
        """Give what one request costs."""
        return (self.prompt * usage.prompt + self.answer * usage.answer) / MILLION

    def affordable(self, prompt_tokens: int, max_tokens: int, left: Budget) -> int:
        """Give how long an answer may be, at least one token: who can't pay that finds out by holding it."""
        most = max_tokens
        if left.tokens is not None:
            most = min(most, left.tokens - prompt_tokens)
        if left.money is not None and self.answer:
            rest = left.money - self.of(Usage(prompt_tokens))
            most = min(most, int(rest * MILLION / self.answer))
        return max(1, most)


FREE: Final = Prices()
