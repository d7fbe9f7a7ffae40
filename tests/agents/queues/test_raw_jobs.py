"""Jobs whose class the process that puts them does not have."""

from __future__ import annotations

from itertools import count

import pytest

from agentbus.agents.queues.new_jobs import JobOptions, chain, new_job, raw_job


def test_a_raw_job_is_put_as_its_class_would_put_it() -> None:
    job = raw_job("Weigh", b'{"grams": 1}', version=2, priority=3)
    made = new_job(job, JobOptions(tenant="t", priority=1), lambda: "id")
    assert (made.id, made.type, made.version, bytes(made.body)) == ("id", "Weigh", 2, b'{"grams": 1}')
    assert (made.priority, made.tenant) == (3, "t")


def test_a_raw_job_is_a_step_of_flows() -> None:
    numbers = count()
    flow = new_job(chain(raw_job("A", b"1"), raw_job("B", b"2")), JobOptions(), lambda: str(next(numbers)))
    assert [step.type for step in flow.steps] == ["A", "B"]


@pytest.mark.parametrize(("kind", "body"), [("", b"1"), ("A", b"{"), ("A", b"")])
def test_what_can_be_no_message_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(ValueError, match=r"name|JSON"):
        raw_job(kind, body)
