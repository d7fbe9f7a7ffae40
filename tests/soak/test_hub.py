"""The short version of the soak; `make soak MINUTES=…` has longer ones."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.soak import soak


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_hub_under_load_and_chaos_loses_no_ack_and_keeps_neither_memory_nor_descriptors() -> None:
    report = asyncio.run(soak(20.0))
    assert report.acked > 500
    assert report.visits > 20
    assert report.cut > 0
    assert report.problems() == []
