"""Budgets as values: exact, never negative, and the same after a trip over the wire."""

from __future__ import annotations

from decimal import Decimal, getcontext, localcontext
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.agents.budgets import Budget, BudgetAccount
from agentbus.agents.budgets.wire import Grant, Spent, account_of, amounts_of, grant_of, spent_of

monies = st.decimals(0, 10**15, places=12, allow_nan=False, allow_infinity=False)
tokens = st.none() | st.integers(1, 2**53)


def test_money_is_exact_however_it_is_given() -> None:
    assert Budget(money="0.25") == Budget(money=Decimal("0.250")) != Budget(money="0.26")
    assert Budget(money=3).money == Decimal(3)
    assert str(Budget(money="100").money) == "100"
    with localcontext() as context:
        context.prec = 2
        assert Budget(money="123456.789").money == Decimal("123456.789")
    assert getcontext().prec != 2


@pytest.mark.parametrize(
    "amounts",
    [
        {"tokens": -1},
        {"tokens": 2**53 + 1},
        {"wall": float("nan")},
        {"hops": -1},
        {"money": "-0.01"},
        {"money": "NaN"},
        {"money": "Infinity"},
        {"money": "much"},
        {"money": "1e99"},
        {"money": "1e-13"},
    ],
)
def test_what_is_no_amount_is_refused(amounts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least 0|at most|not an amount"):
        Budget(**amounts)


def test_money_is_never_a_float() -> None:
    amount: Any = 0.1
    with pytest.raises(TypeError, match=r'say "0\.1"'):
        Budget(money=amount)


def test_budgets_do_not_change() -> None:
    budget: Any = Budget(tokens=1)
    with pytest.raises(AttributeError):
        budget.tokens = 2


@given(tokens, st.none() | monies.filter(bool), st.none() | st.integers(1, 500))
def test_a_grant_gives_the_same_account_elsewhere(
    tokens: int | None, money: Decimal | None, hops: int | None
) -> None:
    account = BudgetAccount().open(Budget(tokens=tokens, money=money, hops=hops, wall=4.0), now=10.0)
    sent = msgspec.json.encode(grant_of(account, deadline=12.0))
    there = account_of(msgspec.json.decode(sent, type=Grant), deadline=112.0)
    assert there.wall_at == 114.0
    assert there.hops == (None if hops is None else hops - 1)
    assert (there.left.tokens, there.left.money) == (tokens, money)


@given(st.integers(0, 2**53), monies)
def test_what_was_spent_arrives_exactly(tokens: int, money: Decimal) -> None:
    account = BudgetAccount()
    account.spend(tokens=tokens, money=money)
    sent = msgspec.json.encode(spent_of(account))
    arrived = BudgetAccount().open(None, now=0.0)
    spent = amounts_of(msgspec.json.decode(sent, type=Spent))
    assert spent is not None
    arrived.spend(tokens=spent["tokens"])
    assert arrived.spent.tokens == tokens
    assert spent["money"] == int(money * 10**12)


def test_what_a_peer_makes_up_is_worth_nothing() -> None:
    nothing = account_of(Grant(tokens=-5, money=Decimal("NaN"), wall=-1.0), deadline=3.0)
    assert (nothing.left.tokens, nothing.left.money, nothing.wall_at) == (0, 0, 3.0)
    assert amounts_of(None) is None
    assert amounts_of(Spent(tokens=-1)) is None
    account = BudgetAccount({"tokens": 5, "money": 5})
    part = account.open(None, now=0.0)
    part.settle(amounts_of(Spent(tokens=10**9, money=Decimal(-3))))
    assert (account.left.tokens, account.left.money) == (0, 0)
