"""The bounded version of the fuzz target."""

from __future__ import annotations

from tests.fuzz.hub import RealTarget, rounds


def test_a_hub_under_fire_serves_others_and_keeps_nothing() -> None:
    assert rounds(0, seed=1, examples=70) >= 70


def test_so_does_one_on_a_real_port() -> None:
    assert rounds(0, seed=1, examples=30, make=RealTarget) >= 30
