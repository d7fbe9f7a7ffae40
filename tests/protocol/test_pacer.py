from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbus.protocol.pacer import Pace, Pacer, pace_below


class Bucket:
    """The hub's own: section 8's 100 frames/s with a burst of 200."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst, self.tokens, self.at = rate, burst, burst, 0.0

    def frame(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        self.tokens -= 1
        return self.tokens >= 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 3), min_size=1, max_size=30), st.booleans())
def test_a_default_hub_never_answers_4011(pauses: list[float], urgent: bool) -> None:
    pacer, hub, now = Pacer(Pace(), 0.0), Bucket(100, 200), 0.0
    for pause in pauses:
        now += pause
        while pacer.take(now, urgent=urgent):
            assert hub.frame(now)


@given(st.floats(1, 10_000), st.floats(2, 10_000), st.lists(st.floats(0, 2), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_announced_limits_are_kept(rate: float, burst: float, pauses: list[float]) -> None:
    pacer, hub, now = Pacer(pace_below(rate, burst), 0.0), Bucket(rate, burst), 0.0
    for pause in pauses:
        now += pause
        for _ in range(300):
            if not pacer.take(now, urgent=True):
                break
            assert hub.frame(now)


@given(st.integers(0, 400), st.booleans())
def test_ready_at_is_when_take_succeeds(taken: int, urgent: bool) -> None:
    pacer = Pacer(Pace(), 0.0)
    for _ in range(taken):
        pacer.take(0.0, urgent=True)
    ready = pacer.ready_at(0.0, urgent=urgent)
    assert pacer.take(ready, urgent=urgent)


def test_the_last_tokens_are_for_control_traffic() -> None:
    pacer = Pacer(Pace(), 0.0)
    ordinary = sum(pacer.take(0.0) for _ in range(1000))
    control = sum(pacer.take(0.0, urgent=True) for _ in range(1000))
    assert (ordinary, control) == (140, 10)


def test_a_full_second_gives_the_rate() -> None:
    pacer = Pacer(Pace(), 0.0)
    while pacer.take(0.0):
        pass
    assert not pacer.plentiful(0.0)
    assert sum(pacer.take(1.0) for _ in range(1000)) == 90


def test_a_new_connection_starts_with_a_full_bucket() -> None:
    pacer = Pacer(Pace(), 0.0)
    while pacer.take(0.0, urgent=True):
        pass
    pacer.renew(Pace(rate=10, burst=20, reserve=0), 5.0)
    assert sum(pacer.take(5.0) for _ in range(100)) == 20


def test_unpaced_frames_are_counted() -> None:
    pacer = Pacer(Pace(rate=10, burst=20, reserve=0), 0.0)
    pacer.spend(0.0)
    assert sum(pacer.take(0.0) for _ in range(100)) == 19


def test_no_limit_at_the_hub_means_no_wait() -> None:
    pacer = Pacer(pace_below(0, 0), 0.0)
    assert all(pacer.take(0.0) for _ in range(1000))


@pytest.mark.parametrize("arguments", [{"rate": 0}, {"burst": 0}, {"reserve": -1}, {"reserve": 150}])
def test_a_pace_that_would_never_move_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="pace"):
        Pace(**arguments)
