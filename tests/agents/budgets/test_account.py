"""Accounts: what is spent, set aside and given back, by itself."""

from __future__ import annotations

import threading
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.agents.budgets import Budget, BudgetAccount
from agentbus.errors import BudgetExhausted
from agentbus.runtime import Future


def account(**amounts: Any) -> BudgetAccount:
    return BudgetAccount().open(Budget(**amounts), now=0.0)


def test_nothing_is_taken_where_one_amount_is_short() -> None:
    mine = account(tokens=10, money="0.5")
    with pytest.raises(BudgetExhausted) as caught:
        mine.spend(tokens=3, money="0.6")
    assert (caught.value.what, caught.value.wanted, caught.value.left) == (
        "money",
        Decimal("0.6"),
        Decimal("0.5"),
    )
    assert mine.left == Budget(tokens=10, money="0.5")
    mine.spend(tokens=10, money="0.5")
    assert mine.left == Budget(tokens=0, money=0)
    assert mine.spent == Budget(tokens=10, money="0.5")
    mine.spend()


def test_without_a_budget_there_is_no_limit() -> None:
    mine = BudgetAccount()
    mine.spend(tokens=10**9, money=10**9)
    assert mine.left == mine.share(7) == Budget()


def test_a_negative_amount_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        account(tokens=1).spend(tokens=-1)
    with pytest.raises(ValueError, match="not an amount"):
        account(money=1).spend(money=-1)


def test_shares_are_equal_parts_of_what_is_left() -> None:
    mine = account(tokens=10, money="1", hops=4)
    mine.spend(tokens=3)
    part = mine.share(3)
    assert part == Budget(tokens=2, money="0.333333333333", hops=3)
    for _ in range(3):
        mine.open(part, now=0.0)
    assert mine.left.tokens == 1
    with pytest.raises(ValueError, match="one part"):
        mine.share(0)


def test_a_part_is_reserved_and_what_is_left_of_it_comes_back() -> None:
    mine = account(tokens=100)
    part = mine.open(Budget(tokens=30), now=0.0)
    assert mine.left.tokens == 70
    part.spend(tokens=20)
    answer: Future[None] = Future()
    part.until(answer)
    answer.set()
    assert mine.left.tokens == 80
    with pytest.raises(BudgetExhausted):
        part.spend(tokens=1)  # the rest is the parent's again
    part.settle({"tokens": 0, "money": 0})
    assert mine.left.tokens == 80


def test_a_part_that_is_not_there_is_refused_at_once() -> None:
    mine = account(tokens=100)
    mine.open(Budget(tokens=60), now=0.0)
    for part in (Budget(tokens=41), Budget(tokens=0), Budget(hops=0)):
        with pytest.raises(BudgetExhausted):
            mine.open(part, now=0.0)
    assert mine.left.tokens == 40


def test_without_an_answer_all_of_a_part_is_spent() -> None:
    mine = account(tokens=100)
    given_up: Future[None] = Future()
    mine.open(Budget(tokens=30), now=0.0).until(given_up)
    given_up.cancel()
    late = mine.open(Budget(tokens=10, wall=5.0), now=0.0)
    assert isinstance(late.late_error(5.0)(), BudgetExhausted)
    assert isinstance(mine.open(Budget(tokens=1, wall=5.0), now=0.0).late_error(4.0)(), TimeoutError)
    assert mine.left.tokens == 59


def test_what_a_part_without_limit_has_spent_is_counted_by_its_parent() -> None:
    mine = account(tokens=100)
    part = mine.open(Budget(tokens=10), now=0.0)
    part.spend(money="1.5")
    answer: Future[None] = Future()
    part.until(answer)
    answer.set()
    assert mine.spent == Budget(tokens=0, money="1.5")


def test_hops_end_a_chain() -> None:
    first = account(hops=2)
    assert first.left.hops == 1
    second = first.open(None, now=0.0)
    with pytest.raises(BudgetExhausted) as caught:
        second.open(None, now=0.0)
    assert caught.value.what == "hops"


def test_wall_time_is_the_earlier_of_both() -> None:
    mine = BudgetAccount().open(Budget(wall=10.0), now=100.0)
    assert mine.open(Budget(wall=50.0), now=104.0).wall_at == 110.0
    assert mine.open(Budget(wall=2.0), now=104.0).wall_at == 106.0
    mine.begin(lambda: 107.0)
    assert mine.left.wall == 3.0
    with pytest.raises(BudgetExhausted, match="wall time is over"):
        mine.open(None, now=110.0)
    late = BudgetAccount().open(Budget(wall=1.0), now=0.0)
    with pytest.raises(BudgetExhausted):
        late.begin(lambda: 2.0)
    with pytest.raises(BudgetExhausted):
        late.spend()


def test_an_answer_that_another_thread_gives_right_now_is_not_missed() -> None:
    mine = account(tokens=10)
    part = mine.open(Budget(tokens=10), now=0.0)
    answer: Future[None] = Future()
    refused: list[BudgetExhausted] = []

    def in_between(_answer: Future[None]) -> None:
        try:
            mine.spend(tokens=10)
        except BudgetExhausted as error:
            refused.append(error)

    answer.add_done_callback(in_between)  # called before the part hears of it
    part.until(answer)
    answer.set()
    assert refused == []


def test_pool_threads_may_spend() -> None:
    mine = account(tokens=500)
    spent: list[int] = []

    def spend() -> None:
        try:
            while True:
                mine.spend(tokens=3)
                spent.append(3)
        except BudgetExhausted:
            return

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(spent) == 498


def grow(mine: BudgetAccount, dice: Random, depth: int) -> int:
    """Spend and delegate at random, and let some branches die; gives what was spent."""
    spent = 0
    for _ in range(dice.randrange(4)):
        try:
            if depth == 0 or dice.random() < 0.4:
                amount = dice.randrange(30)
                mine.spend(tokens=amount)
                spent += amount
                continue
            part = dice.choice((None, Budget(tokens=dice.randrange(60)), mine.share(dice.randrange(1, 4))))
            child = mine.open(part, now=0.0)
        except BudgetExhausted:
            continue
        spent += grow(child, dice, depth - 1)
        answer: Future[None] = Future()
        child.until(answer)
        if dice.random() < 0.8:
            answer.set()
        else:
            answer.cancel()
    return spent


@given(st.integers(), st.integers(1, 200))
def test_a_tree_never_overspends_whatever_dies_in_it(seed: int, tokens: int) -> None:
    mine = account(tokens=tokens)
    spent = grow(mine, Random(seed), depth=4)
    left = mine.left.tokens
    assert left is not None
    assert left >= 0
    assert spent + left <= tokens
