from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.protocol import CloseCode, ReconnectOptions, Retry, retry_delay

finite = st.floats(0, allow_nan=False, allow_infinity=False)
options = st.builds(
    ReconnectOptions,
    initial_delay=finite,
    multiplier=st.floats(1, allow_nan=False, allow_infinity=False),
    max_delay=finite,
    jitter_ratio=st.floats(0, 1),
    max_attempts=st.integers(0, 2**70),
)
attempts = st.integers(1, 2**1100)
seeds = st.integers().map(Random)
codes = st.one_of(st.sampled_from(list(CloseCode)), st.integers(1000, 4999))


class Fixed:
    """Chance that always says the same."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


LOW, MIDDLE, HIGH = Fixed(0.0), Fixed(0.5), Fixed(math.nextafter(1.0, 0.0))


def test_defaults_are_those_of_the_protocol() -> None:
    chosen = ReconnectOptions()
    assert (chosen.initial_delay, chosen.multiplier, chosen.max_delay) == (0.5, 2.0, 30.0)
    assert (chosen.jitter_ratio, chosen.max_attempts) == (0.2, 100)


def test_the_default_delays_double_up_to_the_longest() -> None:
    delays = [retry_delay(ReconnectOptions(), attempt, 1006, MIDDLE) for attempt in range(1, 10)]
    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_jitter_is_a_share_of_the_delay_in_both_directions() -> None:
    assert retry_delay(ReconnectOptions(), 3, 1006, LOW) == pytest.approx(1.6)
    assert retry_delay(ReconnectOptions(), 3, 1006, HIGH) == pytest.approx(2.4)


@given(options=options, attempt=attempts, random=seeds)
def test_after_4010_nobody_comes_back_before_30_seconds(
    options: ReconnectOptions, attempt: int, random: Random
) -> None:
    delay = retry_delay(options, attempt, CloseCode.OVER_CONCURRENT_LIMIT, random)
    assert (delay is None) == (attempt > options.max_attempts)
    assert delay is None or 30.0 <= delay < math.inf


@given(ratio=st.floats(0, 1), random=seeds, attempt=st.integers(1, 100))
def test_after_4010_jitter_only_lengthens_and_by_a_share_of_the_floor(
    ratio: float, random: Random, attempt: int
) -> None:
    delay = retry_delay(ReconnectOptions(jitter_ratio=ratio), attempt, 4010, random)
    assert delay is not None
    assert 30.0 <= delay <= 30.0 * (1 + ratio)


def test_the_floor_holds_for_one_attempt_only() -> None:
    assert retry_delay(ReconnectOptions(), 1, 4010, LOW) == 30.0
    assert retry_delay(ReconnectOptions(), 2, 1006, MIDDLE) == 1.0


def test_a_longest_delay_over_the_floor_still_counts_after_4010() -> None:
    assert retry_delay(ReconnectOptions(max_delay=120.0), 9, 4010, LOW) == 120.0


@given(options=options, attempt=attempts, random=seeds, code=codes, at_least=st.floats())
def test_every_delay_is_none_or_finite_and_not_negative(
    options: ReconnectOptions, attempt: int, random: Random, code: int, at_least: float
) -> None:
    delay = retry_delay(options, attempt, code, random, at_least)
    allowed = CloseCode.of(code).retry.allowed and attempt <= options.max_attempts
    assert (delay is not None) == allowed
    assert delay is None or 0.0 <= delay < math.inf


@given(
    initial=st.floats(0, 1e6),
    multiplier=st.floats(1, 10),
    longest=st.floats(0, 1e6),
    ratio=st.floats(0, 1),
    attempt=st.integers(1, 200),
    random=seeds,
)
def test_delays_keep_within_their_jitter(
    initial: float, multiplier: float, longest: float, ratio: float, attempt: int, random: Random
) -> None:
    chosen = ReconnectOptions(
        initial_delay=initial,
        multiplier=multiplier,
        max_delay=longest,
        jitter_ratio=ratio,
        max_attempts=200,
    )
    undisturbed = min(initial * multiplier ** (attempt - 1), longest)
    delay = retry_delay(chosen, attempt, 1006, random)
    assert delay is not None
    slack = 1e-9 * undisturbed
    assert undisturbed * (1 - ratio) - slack <= delay <= undisturbed * (1 + ratio) + slack


def test_huge_attempts_do_not_overflow() -> None:
    patient = ReconnectOptions(max_attempts=10**400)
    assert retry_delay(patient, 10**399, 1006, MIDDLE) == 30.0
    flat = ReconnectOptions(multiplier=1, max_attempts=10**400)
    assert retry_delay(flat, 10**399, 1006, MIDDLE) == 0.5
    at_once = ReconnectOptions(initial_delay=0, max_attempts=10**400)
    assert retry_delay(at_once, 10**399, 1006, MIDDLE) == 0.0


@pytest.mark.parametrize("code", [code for code in CloseCode if code.retry is Retry.NO])
def test_no_retry_is_no_retry(code: CloseCode) -> None:
    assert retry_delay(ReconnectOptions(), 1, code, MIDDLE, at_least=5.0) is None


def test_attempts_run_out() -> None:
    chosen = ReconnectOptions(max_attempts=2)
    assert [retry_delay(chosen, attempt, 1006, MIDDLE) for attempt in (1, 2, 3)] == [0.5, 1.0, None]
    assert retry_delay(ReconnectOptions(max_attempts=0), 1, 1006, MIDDLE) is None


def test_what_the_server_asks_for_is_a_lower_bound() -> None:
    assert retry_delay(ReconnectOptions(), 1, 1006, HIGH, at_least=7.0) == 7.0
    assert retry_delay(ReconnectOptions(), 7, 1006, MIDDLE, at_least=7.0) == 30.0
    for nonsense in (math.nan, math.inf, -math.inf, -3.0):
        assert retry_delay(ReconnectOptions(), 1, 1006, MIDDLE, at_least=nonsense) == 0.5


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("initial_delay", [-1, math.nan, math.inf, "1", None, True, 10**400]),
        ("multiplier", [0.99, -2, math.nan, math.inf, "2", None]),
        ("max_delay", [-0.1, math.nan, math.inf, -math.inf, "3", None]),
        ("jitter_ratio", [-0.1, 1.1, math.nan, math.inf, "0", None]),
        ("max_attempts", [-1, 1.5, math.inf, math.nan, "9", None, True]),
    ],
)
def test_nonsense_is_refused_and_named(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=name):
            ReconnectOptions(**{name: value})


def test_options_are_frozen_keyword_only_and_comparable() -> None:
    chosen: Any = ReconnectOptions(max_attempts=7)
    with pytest.raises(AttributeError):
        chosen.max_attempts = 8
    by_position: Any = ReconnectOptions
    with pytest.raises(TypeError):
        by_position(0.5)
    assert chosen == ReconnectOptions(max_attempts=7)
    assert hash(chosen) == hash(ReconnectOptions(max_attempts=7))
