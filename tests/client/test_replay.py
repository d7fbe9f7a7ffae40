from __future__ import annotations

from agentbus.client.replay import ReplayBudget


def test_three_tries_two_seconds_apart() -> None:
    budget = ReplayBudget()
    assert [budget.next_delay() for _ in range(5)] == [2.0, 2.0, 2.0, None, None]
