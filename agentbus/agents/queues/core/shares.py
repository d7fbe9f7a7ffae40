"""Arithmetic of budgets: what is left, and what each of several gets. What has no limit stays without one."""

from __future__ import annotations

from decimal import Decimal
from typing import TypeVar

from agentbus.agents.budgets.budget import from_units, to_units
from agentbus.agents.budgets.wire import Grant, Spent

_ZERO = Decimal(0)
N = TypeVar("N", int, float, Decimal)


def less(grant: Grant, spent: Spent) -> Grant:
    """Give what is left of a budget; at least nothing."""
    tokens = None if grant.tokens is None else max(0, grant.tokens - max(0, spent.tokens))
    money = None if grant.money is None else max(_ZERO, grant.money - max(_ZERO, spent.money))
    return Grant(tokens, money, grant.hops, grant.wall)


def share(grant: Grant, parts: int) -> Grant:
    """Give one of so many equal parts, rounded down; hops and time are not divided."""
    tokens = None if grant.tokens is None else grant.tokens // parts
    money = None if grant.money is None else from_units(to_units(grant.money) // parts)
    return Grant(tokens, money, grant.hops, grant.wall)


def least(one: Grant, other: Grant | None) -> Grant:
    """Give the smaller of each amount."""
    if other is None:
        return one
    return Grant(
        _smaller(one.tokens, other.tokens),
        _smaller(one.money, other.money),
        _smaller(one.hops, other.hops),
        _smaller(one.wall, other.wall),
    )


def cost(granted: Grant) -> Spent:
    """Give what a budget takes from the one that it is a part of."""
    return Spent(granted.tokens or 0, granted.money or _ZERO)


def plus(grant: Grant, left: Grant) -> Grant:
    """Put back what is left of a part."""
    tokens = None if grant.tokens is None else grant.tokens + (left.tokens or 0)
    money = None if grant.money is None else grant.money + (left.money or _ZERO)
    return Grant(tokens, money, grant.hops, grant.wall)


def _smaller(one: N | None, other: N | None) -> N | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
