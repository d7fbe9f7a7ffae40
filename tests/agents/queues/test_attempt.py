"""What an attempt makes of its handler's end, and what it may carry."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agentbus.agents.message import Message
from agentbus.agents.queues.attempt import (
    MAX_TRACEBACK,
    MAX_VALUE_BYTES,
    Attempt,
    settlement_of,
    value_of,
)
from agentbus.agents.queues.core.job import Effect, LeasedJob, Value
from agentbus.agents.queues.effects import JobEffect
from agentbus.agents.queues.job_context import JobContext
from agentbus.agents.queues.messages import Settlement
from agentbus.agents.queues.new_jobs import JobOptions
from agentbus.errors import BodyTooLargeError, EncodeError, Reject, Retry
from agentbus.runtime import Future


class Deaf:
    """A desk that nobody sits at."""

    def progress(self, token: str, done: float | None, note: str) -> None:
        pass

    def record(self, token: str, job_id: str, effect: Effect) -> Future[None]:
        return Future.completed(None)

    def ended(self, token: str, settlement: Settlement | None) -> None:
        pass

    def broke(self, token: str, settlement: Settlement) -> None:
        pass


class Text(Message, wire_name="attempt.Text", version=3):
    text: str


def attempt(**fields: Any) -> Attempt:
    lease = LeasedJob("j", "t", "T", 1, msgspec.Raw(b"{}"), 2, "k", 60.0, **fields)
    return Attempt(lease, "q", Deaf())


def test_a_value_keeps_its_type_and_version() -> None:
    assert value_of(Text("x")) == Value("attempt.Text", 3, msgspec.Raw(b'{"text":"x"}'))
    assert value_of([1, None]) == Value("", 1, msgspec.Raw(b"[1,null]"))
    with pytest.raises(EncodeError):
        value_of(object())


def test_what_an_ack_carries_is_bounded() -> None:
    half = "x" * (MAX_VALUE_BYTES // 2)
    assert value_of(half).body
    with pytest.raises(BodyTooLargeError):
        value_of(half * 2)
    failed = attempt().gave(half * 2, None)
    assert failed.outcome == "fail"
    assert failed.failure is not None
    assert failed.failure.kind == "BodyTooLargeError"
    job = JobContext(attempt())
    assert job.put(Text(half)) == "j.1"
    with pytest.raises(BodyTooLargeError):
        job.put(Text(half))
    assert job.put(Text("small")) == "j.2", "what was refused has no id"


def test_the_end_of_a_traceback_is_kept() -> None:
    settlement = settlement_of("t", ValueError("x" * 2 * MAX_TRACEBACK + "the end"))
    assert len(settlement.traceback) == MAX_TRACEBACK
    assert settlement.traceback.endswith("the end\n")


def test_retry_and_reject_say_what_follows() -> None:
    later, never = settlement_of("t", Retry("busy", in_=5.0)), settlement_of("t", Reject("wrong"))
    assert (later.outcome, later.retry_in, later.traceback) == ("fail", 5.0, "")
    assert (never.outcome, never.retry_in) == ("reject", None)
    assert never.failure is not None
    assert never.failure.text == "wrong"
    with pytest.raises(ValueError, match="0 seconds or more"):
        Retry(in_=-1.0)


def test_a_handler_reads_what_the_steps_before_it_have_given() -> None:
    values = (value_of(Text("x")), value_of(7))
    job = JobContext(attempt(inputs=values, tenant="acme"))
    assert job.inputs == [Text("x"), 7]
    assert (job.id, job.queue, job.attempt, job.key, job.tenant) == ("j", "q", 2, "k", "acme")
    assert "attempt 2" in repr(job)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1.0])
def test_no_attempt_and_no_job_waits_for_a_time_that_never_comes(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        Retry(in_=seconds)
    with pytest.raises(ValueError, match="seconds"):
        JobOptions(delay=seconds)


def test_names_that_can_not_be_stored_are_refused_where_they_are_given() -> None:
    half = "\udcff"
    for name in ("key", "unique", "tenant"):
        options: dict[str, Any] = {name: half}
        with pytest.raises(ValueError, match="can't be sent"):
            JobOptions(**options)
    with pytest.raises(ValueError, match="can be sent"):
        JobEffect(attempt(), half, retry=False)


@pytest.mark.parametrize("options", [{"delay": float("inf")}, {"key": "\udcff"}, {"max_attempts": 0}])
def test_a_job_put_by_a_handler_is_checked_as_any_other(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        JobContext(attempt()).put(Text("x"), **options)
