"""Cuts at random bytes while somebody publishes 500 messages a second: the promise of a recovery."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest

from agentbus.hub.core import Entry, HistoryRule
from agentbus.hub.core.dedupe import Dedupe
from agentbus.hub.core.history import History
from agentbus.testing.simulation.recovery import RecoveryPlan, play_recovery


@pytest.mark.parametrize("seed", [1, 2])
def test_over_many_cuts_nothing_is_lost_doubled_or_out_of_order(seed: int) -> None:
    run = play_recovery(RecoveryPlan(seed=seed, cuts=60))
    assert run.problems() == []
    assert run.failed == {}
    assert run.reconnects > 30
    assert run.published > 1000


@pytest.mark.slow
def test_over_a_thousand_cuts_nothing_is_lost_doubled_or_out_of_order() -> None:
    run = play_recovery(RecoveryPlan(seed=1000, cuts=1000))
    assert run.problems() == []
    assert run.failed == {}
    assert run.reconnects > 500


def test_each_restart_of_a_hub_that_forgets_is_told_once() -> None:
    run = play_recovery(RecoveryPlan(seed=3, cuts=6, restarts=2, rate=100))
    assert run.problems() == []
    assert run.restarts == 2
    assert [event.count for name in run.heard for event in run.missed(name)] == [None] * 4


def test_a_run_is_the_same_each_time() -> None:
    plan = RecoveryPlan(seed=5, cuts=10)
    assert play_recovery(plan) == play_recovery(plan)


def test_a_history_that_is_too_short_says_so() -> None:
    rule = HistoryRule(pattern="rooms/**", max_messages=5)
    run = play_recovery(RecoveryPlan(seed=1, cuts=10, rule=rule))
    counts = [event.count for name in run.heard for event in run.missed(name)]
    assert counts
    assert all(count for count in counts)


# -- would it notice? ----------------------------------------------------------------------------------------


def test_a_hub_that_recognises_no_repeat_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_dedupe: Dedupe, _identity: str, _message_id: str, _now: float) -> bool:
        return False

    monkeypatch.setattr(Dedupe, "is_repeat", never)
    problems = play_recovery(RecoveryPlan(seed=1, cuts=40)).problems()
    assert any("twice" in problem for problem in problems)


def test_a_hub_that_forgets_a_message_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    after = History.after

    def all_but_one(history: History, offset: int) -> Iterator[Entry]:
        return islice(after(history, offset), 1, None)

    monkeypatch.setattr(History, "after", all_but_one)
    problems = play_recovery(RecoveryPlan(seed=1, cuts=40)).problems()
    assert any("lost" in problem for problem in problems)
