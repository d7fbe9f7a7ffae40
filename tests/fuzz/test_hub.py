"""The bounded version of the fuzz target."""

from __future__ import annotations

from tests.fuzz.hub import rounds


def test_a_hub_under_fire_serves_others_and_keeps_nothing() -> None:
    assert rounds(0, seed=1, examples=100) >= 100
