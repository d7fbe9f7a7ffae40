"""Rates: the bucket, the strikes, the connects of an address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.hub.core.limits import ConnectRate, Strikes, TokenBucket

gaps = st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=200)


def test_a_rested_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=100, burst=200, now=0.0)
    assert [bucket.take(0.0) for _ in range(201)] == [True] * 200 + [False]
    assert not bucket.take(0.005)
    assert bucket.take(0.01)
    assert [bucket.take(60.0) for _ in range(201)] == [True] * 200 + [False]


@given(gaps, st.integers(1, 20), st.floats(0.1, 50))
def test_no_window_sees_more_than_burst_plus_rate(waits: list[float], burst: int, rate: float) -> None:
    bucket = TokenBucket(rate, burst, now=0.0)
    now, taken = 0.0, list[float]()
    for wait in waits:
        now += wait / 10
        if bucket.take(now):
            taken.append(now)
    for index, start in enumerate(taken):
        for count, end in enumerate(taken[index:], 1):
            assert count <= burst + rate * (end - start) + 1e-6


def test_the_twenty_first_malformed_frame_in_ten_seconds_is_one_too_many() -> None:
    strikes = Strikes()
    assert not any(strikes.add(index * 0.5) for index in range(20))
    assert strikes.add(10.0)


def test_malformed_frames_that_are_far_enough_apart_are_forgiven() -> None:
    strikes = Strikes()
    assert not any(strikes.add(index * 0.501) for index in range(1000))


def test_a_connect_too_many_is_told_when_to_come_back() -> None:
    rate = ConnectRate(allowed=60)
    assert [rate.allow("a", second) for second in range(60)] == [None] * 60
    assert rate.allow("a", 59.5) == pytest.approx(0.5)
    assert rate.allow("b", 59.5) is None
    assert rate.allow("a", 60.0) is None


def test_zero_turns_the_connect_rate_off() -> None:
    rate = ConnectRate(allowed=0)
    assert {rate.allow("a", 0.0) for _ in range(1000)} == {None}
    assert len(rate) == 0


@given(gaps, st.integers(1, 5))
def test_connects_are_counted_in_a_sliding_window(waits: list[float], allowed: int) -> None:
    rate = ConnectRate(allowed)
    now, accepted = 0.0, list[float]()
    for wait in waits:
        now += wait
        recent = [time for time in accepted if now - time < 60.0]
        answer = rate.allow("a", now)
        assert (answer is None) == (len(recent) < allowed)
        if answer is None:
            accepted.append(now)
        else:
            assert answer == pytest.approx(recent[-allowed] + 60.0 - now)


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 5)), max_size=200))
def test_the_memory_for_addresses_is_bounded(connects: list[tuple[int, float]]) -> None:
    rate = ConnectRate(allowed=2, max_addresses=10)
    now = 0.0
    for address, wait in connects:
        now += wait
        rate.allow(f"10.0.0.{address}", now)
        assert len(rate) <= 10
    rate.allow("last", now + 61.0)
    assert len(rate) == 1


def test_a_full_memory_forgets_whoever_was_quiet_longest_and_not_the_caller() -> None:
    rate = ConnectRate(allowed=1, max_addresses=2)
    assert rate.allow("a", 0.0) is None
    assert rate.allow("b", 1.0) is None
    assert rate.allow("a", 2.0) == pytest.approx(58.0)
    assert rate.allow("c", 3.0) is None
    assert rate.allow("b", 4.0) == pytest.approx(57.0)
