from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentbus.cli.demo.chaos import Harm, plan_harm


def test_the_kill_comes_early_and_the_cut_in_the_middle() -> None:
    assert plan_harm(40, enabled=True) == ((Harm.KILL, 10), (Harm.CUT, 20))


def test_nobody_is_harmed_if_that_is_not_wanted() -> None:
    assert plan_harm(40, enabled=False) == ()


@given(files=st.integers(1, 5000))
def test_both_come_with_files_that_are_there(files: int) -> None:
    plan = plan_harm(files, enabled=True)
    assert [harm for harm, _ in plan] == [Harm.KILL, Harm.CUT]
    assert all(0 <= file < files for _, file in plan)
