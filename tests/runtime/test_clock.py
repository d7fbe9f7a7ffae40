from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.runtime import Clock, SystemClock, VirtualClock
from agentbus.runtime.clock import VIRTUAL_EPOCH


def test_both_clocks_are_clocks() -> None:
    clocks: list[Clock] = [SystemClock(), VirtualClock()]
    assert all(clock.monotonic() <= clock.monotonic() for clock in clocks)
    assert all(clock.wall() > 1_000_000_000 for clock in clocks)


def test_a_virtual_clock_stands_still() -> None:
    clock = VirtualClock()
    assert (clock.monotonic(), clock.wall()) == (0.0, VIRTUAL_EPOCH)
    clock.advance(2.5)
    assert (clock.monotonic(), clock.wall()) == (2.5, VIRTUAL_EPOCH + 2.5)


@given(st.lists(st.floats(0, 1e6)))
def test_virtual_time_never_goes_back(moments: list[float]) -> None:
    clock = VirtualClock()
    seen: list[float] = []
    for moment in moments:
        clock.move_to(moment)
        seen.append(clock.monotonic())
    assert seen == sorted(seen)
    assert clock.monotonic() == max([0.0, *moments])


@pytest.mark.parametrize("seconds", [-0.1, float("nan")])
def test_time_can_not_be_advanced_backwards(seconds: float) -> None:
    with pytest.raises(ValueError, match="back"):
        VirtualClock().advance(seconds)


def test_wall_time_may_jump_unnoticed_by_the_other() -> None:
    clock = VirtualClock(epoch=100.0)
    clock.step_wall(-50.0)
    assert (clock.monotonic(), clock.wall()) == (0.0, 50.0)
