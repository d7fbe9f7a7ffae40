"""The bounded version of the fuzz target."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.fuzz.decoders import check, payloads


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(payload=payloads)
def test_decoders_agree_with_the_rules_read_aloud(payload: bytes) -> None:
    check(payload)
