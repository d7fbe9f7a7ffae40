from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.runtime.supervision import (
    Backoff,
    Decision,
    GiveUp,
    Restart,
    RestartMode,
    RestartPolicy,
    RestartTracker,
    Strategy,
    Supervision,
)

NO_JITTER = Backoff(initial_delay=1.0, multiplier=2.0, max_delay=8.0, jitter_ratio=0.0)


def policy(**fields: Any) -> RestartPolicy:
    chosen: dict[str, Any] = {"mode": RestartMode.RESTART, "backoff": NO_JITTER, **fields}
    return RestartPolicy(**chosen)


def test_stop_mode_gives_up_at_the_first_failure() -> None:
    assert RestartTracker(RestartPolicy(), Random(0)).failed(0.0) == GiveUp(1)


def test_delays_grow_up_to_their_limit() -> None:
    tracker = RestartTracker(policy(intensity=6), Random(0))
    verdicts = [tracker.failed(float(second)) for second in range(6)]
    assert verdicts == [Restart(delay, n) for n, delay in enumerate([1.0, 2.0, 4.0, 8.0, 8.0, 8.0], start=1)]


def test_one_failure_more_than_the_intensity_gives_up() -> None:
    tracker = RestartTracker(policy(intensity=2, period=60.0), Random(0))
    assert [type(tracker.failed(now)) for now in (0.0, 10.0, 20.0)] == [Restart, Restart, GiveUp]


def test_a_failure_older_than_the_period_is_forgotten() -> None:
    tracker = RestartTracker(policy(intensity=1, period=60.0), Random(0))
    assert tracker.failed(0.0) == Restart(1.0, 1)
    assert tracker.failed(60.0) == Restart(1.0, 1)
    assert tracker.failed(119.9) == GiveUp(2)


@given(
    intensity=st.integers(0, 6),
    period=st.floats(0.5, 50),
    gaps=st.lists(st.floats(0, 30), max_size=60),
)
def test_never_more_restarts_in_a_period_than_the_intensity(
    intensity: int, period: float, gaps: list[float]
) -> None:
    tracker = RestartTracker(policy(intensity=intensity, period=period), Random(0))
    now, restarts = 0.0, list[float]()
    for gap in gaps:
        now += gap
        if isinstance(tracker.failed(now), GiveUp):
            break
        restarts.append(now)
    for start in restarts:
        assert sum(1 for at in restarts if 0 <= at - start < period) <= intensity


@given(failures=st.integers(1, 2000), ratio=st.floats(0, 1), seed=st.integers())
def test_jitter_stays_within_its_ratio(failures: int, ratio: float, seed: int) -> None:
    backoff = Backoff(initial_delay=0.5, multiplier=3.0, max_delay=20.0, jitter_ratio=ratio)
    plain = min(20.0, 0.5 * 3.0 ** min(failures - 1, 100))
    delay = backoff.delay(failures, Random(seed))
    assert plain * (1 - ratio) * 0.999999 <= delay <= plain * (1 + ratio) * 1.000001


def test_the_same_seed_draws_the_same_delays() -> None:
    runs = [RestartTracker(RestartPolicy(RestartMode.RESTART), Random(7)) for _ in range(2)]
    assert [runs[0].failed(n) for n in range(4)] == [runs[1].failed(n) for n in range(4)]


def test_one_for_one_concerns_the_failed_child_alone() -> None:
    group = Supervision(policy(), Random(0))
    group.join("a")
    group.join("b")
    assert group.failed("b", 0.0) == Decision(Restart(1.0, 1), ("b",))


def test_one_for_all_concerns_everyone_in_order() -> None:
    group = Supervision(policy(strategy=Strategy.ONE_FOR_ALL), Random(0))
    for name in ("c", "a", "b"):
        group.join(name)
    assert group.failed("b", 0.0).children == ("c", "a", "b")


def test_each_child_of_a_group_is_counted_by_itself() -> None:
    group = Supervision(policy(intensity=1, strategy=Strategy.ONE_FOR_ALL), Random(0))
    group.join("a")
    group.join("b")
    assert group.failed("a", 0.0).verdict == Restart(1.0, 1)
    assert group.failed("b", 1.0).verdict == Restart(1.0, 1)
    assert group.failed("a", 2.0) == Decision(GiveUp(2), ("a", "b"))


def test_who_left_is_not_concerned() -> None:
    group = Supervision(policy(strategy=Strategy.ONE_FOR_ALL), Random(0))
    group.join("a")
    group.join("b")
    group.leave("a")
    assert group.failed("b", 0.0).children == ("b",)
    with pytest.raises(KeyError):
        group.failed("a", 0.0)


@pytest.mark.parametrize(
    "fields",
    [{"intensity": -1}, {"period": 0.0}, {"retry_poison": -1}],
    ids=lambda fields: next(iter(fields)),
)
def test_a_policy_that_cannot_be_counted_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"intensity|period"):
        policy(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"initial_delay": -1.0},
        {"initial_delay": 2.0, "max_delay": 1.0},
        {"multiplier": 0.5},
        {"jitter_ratio": 1.5},
    ],
)
def test_a_backoff_that_cannot_work_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a backoff"):
        Backoff(**fields)
