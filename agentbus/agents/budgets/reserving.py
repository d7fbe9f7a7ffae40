"""What a message may cost is set aside before it leaves."""

from __future__ import annotations

import msgspec

from agentbus.agents.budgets.account import BudgetAccount
from agentbus.agents.budgets.budget import Budget
from agentbus.agents.headers import Headers
from agentbus.agents.scope import Scope


def reserved(
    headers: Headers, scope: Scope | None, part: Budget | None, now: float, *, for_good: bool = False
) -> Headers:
    """Give the headers of a message with an account of its own, and with the end of its wall time.

    Args:
        headers: without one.
        scope: what sends it; if that has a budget, the account is a part of it.
        part: how much; None for all that is left.
        now: the time.
        for_good: nobody will answer, and nothing comes back.

    Raises:
        BudgetExhausted: there is not so much; nothing was set aside.
    """
    payer = None if scope is None else scope.account
    account = (payer or BudgetAccount()).open(part, now)
    if for_good:
        account.settle(None)
    ends = [at for at in (headers.deadline, account.wall_at) if at is not None]
    return msgspec.structs.replace(headers, budget=account, deadline=min(ends, default=None))
