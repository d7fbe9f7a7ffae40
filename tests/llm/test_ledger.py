"""The ledger: nothing over the allowance in any window, first come first served, nothing left unused."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.errors import TokensOverQuotaError
from agentbus.llm.ledger import MARGIN, WINDOW, Ledger, Quota


def test_requests_go_in_the_order_in_which_they_asked() -> None:
    ledger = Ledger(Quota(requests_per_minute=2))
    for key in "abc":
        ledger.ask(key, 1)
    assert ledger.grants(0.0) == ["a", "b"]
    assert ledger.next_at(0.0) == WINDOW + MARGIN
    assert ledger.grants(WINDOW) == []
    assert ledger.grants(WINDOW + MARGIN) == ["c"]


def test_only_so_many_run_at_a_time() -> None:
    ledger = Ledger(Quota(concurrency=1))
    ledger.ask("a", 1)
    ledger.ask("b", 1)
    assert ledger.grants(0.0) == ["a"]
    assert ledger.next_at(0.0) is None
    ledger.done("a", 1)
    assert ledger.grants(0.0) == ["b"]


def test_what_was_not_used_is_free_for_others() -> None:
    ledger = Ledger(Quota(tokens_per_minute=100))
    ledger.ask("a", 100)
    ledger.ask("b", 60)
    assert ledger.grants(0.0) == ["a"]
    ledger.done("a", 40)
    assert ledger.grants(1.0) == ["b"]


def test_a_retry_after_holds_for_all() -> None:
    ledger = Ledger(Quota())
    ledger.ask("a", 1)
    assert ledger.grants(0.0) == ["a"]
    ledger.refused("a", 30.0, 0.0)
    ledger.ask("b", 1)
    assert ledger.grants(29.9) == []
    assert ledger.next_at(1.0) == 30.0
    assert ledger.grants(30.0) == ["b"]


def test_who_gives_up_holds_nobody_up() -> None:
    ledger = Ledger(Quota(concurrency=1))
    for key in "abc":
        ledger.ask(key, 1)
    assert ledger.grants(0.0) == ["a"]
    ledger.forget("b")
    ledger.forget("a")
    assert ledger.grants(0.0) == ["c"]
    assert (ledger.waiting, ledger.running) == (0, 1)


def test_a_request_that_can_never_go_is_refused_at_once() -> None:
    ledger = Ledger(Quota(tokens_per_minute=100))
    with pytest.raises(TokensOverQuotaError) as caught:
        ledger.ask("a", 101)
    assert (caught.value.tokens, caught.value.allowed) == (101, 100)


def test_a_quota_that_lets_nothing_through_is_refused() -> None:
    with pytest.raises(ValueError, match="concurrency"):
        Quota(concurrency=0)


class Endpoint:
    """Counts what began within the last minute, wherever that begins."""

    def __init__(self) -> None:
        self.seen: deque[tuple[float, int]] = deque()

    def count(self, at: float, tokens: int) -> int:
        self.seen.append((at, tokens))
        while self.seen[0][0] <= at - WINDOW:
            self.seen.popleft()
        return sum(tokens for _at, tokens in self.seen)


@given(st.integers(0, 10_000), st.integers(50, 500), st.floats(0.0, MARGIN * 0.9))
def test_no_window_ever_holds_more_than_was_allowed(seed: int, allowed: int, lateness: float) -> None:
    random, ledger, endpoint = Random(seed), Ledger(Quota(tokens_per_minute=allowed)), Endpoint()
    now, used = 0.0, dict[str, int]()
    for number in range(60):
        tokens = random.randint(1, allowed)
        used[f"{number}"] = tokens
        ledger.ask(f"{number}", tokens)
        now += random.expovariate(0.2)
        for key in ledger.grants(now):
            assert endpoint.count(now + random.uniform(0, lateness), used[key]) <= allowed
            ledger.done(key, used[key])
