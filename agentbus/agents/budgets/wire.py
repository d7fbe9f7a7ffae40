"""Budgets on the wire: what a message may cost, and what its answer says that it has."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from agentbus.agents.budgets.account import BudgetAccount
from agentbus.agents.budgets.budget import MAX_TOKENS, MAX_UNITS, from_units, to_units


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """The budget of a message; what is not named has no limit.

    Attributes:
        tokens: of language models.
        money: a decimal number, as text.
        hops: messages in a row that may follow this one.
        wall: seconds between the message's deadline and the end of its time, which comes no earlier.
    """

    tokens: int | None = None
    money: Decimal | None = None
    hops: int | None = None
    wall: float | None = None


class Spent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an answer has cost. Attributes: as in `Grant`."""

    tokens: int = 0
    money: Decimal = Decimal(0)


def grant_of(account: BudgetAccount, deadline: float | None) -> Grant:
    """Give what travels with a message that an account pays for."""
    left = account.left
    late = account.wall_at is None or deadline is None
    wall = None if late else max(0.0, (account.wall_at or 0.0) - (deadline or 0.0))
    return Grant(left.tokens, left.money, account.hops, wall)


def account_of(grant: Grant, deadline: float | None) -> BudgetAccount:
    """Open the account of a message that came from another node; what makes no sense there is nothing.

    Args:
        grant: what its envelope says.
        deadline: the message's own, on this node's clock.
    """
    tokens = None if grant.tokens is None else max(0, min(grant.tokens, MAX_TOKENS))
    money = None if grant.money is None else _units(grant.money, 0)
    wall_at = None if grant.wall is None or deadline is None else deadline + max(0.0, grant.wall)
    return BudgetAccount({"tokens": tokens, "money": money}, hops=grant.hops, wall_at=wall_at)


def spent_of(account: BudgetAccount) -> Spent:
    """Close an account, and give what its answer says."""
    spent = account.close()
    return Spent(spent["tokens"], from_units(spent["money"]))


def amounts_of(spent: Spent | None) -> dict[str, int] | None:
    """Read what an answer has cost; None if it does not say, or says what can't be."""
    if spent is None or spent.tokens < 0:
        return None
    return {"tokens": min(spent.tokens, MAX_TOKENS), "money": _units(spent.money, MAX_UNITS)}


def _units(money: Decimal, otherwise: int) -> int:
    try:
        return to_units(money)
    except ValueError:
        return otherwise
