"""Options that make no sense are refused where they are given."""

from __future__ import annotations

import math
from typing import Any

import pytest

from agentbus.agents.queues.core.options import QueueOptions
from agentbus.errors import AgentError, QueueOptionsError


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_jobs", -1),
        ("max_jobs", 1.5),
        ("max_attempts", 0),
        ("max_attempts", True),
        ("lease", 5),
        ("lease", math.inf),
        ("lease", math.nan),
        ("min_lease", 0),
        ("retry_multiplier", 0.5),
        ("retry_jitter", 1.5),
        ("rate", 0),
        ("rate_period", 0),
        ("concurrency", 0),
        ("result_ttl", -1.0),
        ("tick", 0),
        ("max_bytes", "many"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_with_its_name(option: str, value: Any) -> None:
    with pytest.raises(QueueOptionsError) as caught:
        QueueOptions(**{option: value})
    assert caught.value.option == option
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, AgentError)
    assert repr(value) in str(caught.value)


def test_what_makes_sense_is_taken_as_it_is() -> None:
    options = QueueOptions(lease=2.0, min_lease=1.0, rate=None, concurrency=3, max_results=0, result_ttl=1e9)
    assert (options.lease, options.concurrency) == (2.0, 3)


def test_a_host_that_sends_less_takes_smaller_jobs() -> None:
    assert QueueOptions().within(8 << 20).max_job_bytes < 8 << 20
    assert QueueOptions(max_job_bytes=1000).within(8 << 20).max_job_bytes == 1000
    assert QueueOptions().within(1).max_job_bytes == 1
