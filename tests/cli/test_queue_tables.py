"""How queues and jobs look to people."""

from __future__ import annotations

import io

import msgspec
import pytest

from agentbus.agents.failures import Failure
from agentbus.agents.queues.core.job import JobStatus, NewJob, QueueStats, Value
from agentbus.agents.queues.messages import Schedule, ScheduleStatus
from agentbus.cli import console
from agentbus.cli.queue_tables import (
    LiveStats,
    duration,
    job_line,
    job_table,
    queue_table,
    remark,
    schedule_table,
)


def drawn(renderable: object) -> str:
    file = io.StringIO()
    console.console(file).print(renderable)
    return file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0.0 s"), (9.94, "9.9 s"), (59.0, "59 s"), (120.0, "2 min"), (7200.0, "2 h"), (200_000.0, "2 d")],
)
def test_a_duration_is_said_in_the_unit_that_suits_it(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_what_there_is_to_say_of_a_job() -> None:
    running = JobStatus("a", "q", "T", "leased", worker="n/w", done=0.5, note="half")
    assert remark(running) == "at n/w, 50%, half"
    assert remark(JobStatus("a", "q", "T", "delayed", due_in=30.0)) == "in 30 s"
    failed = JobStatus("a", "q", "T", "failed", failure=Failure("AgentFailed", "ValueError: no"))
    assert job_line(failed) == "q  a  T  failed  ValueError: no"


def test_hostile_text_does_not_reach_the_terminal() -> None:
    job = JobStatus("a\x1b[2J", "q", "T", "queued", note="\u202e")
    shown = drawn(job_table([job], [Value("T", 1, body(b'"\\u001b"'))]))
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_a_long_message_is_cut() -> None:
    shown = drawn(
        job_table([JobStatus("a", "q", "T", "queued")], [Value("T", 1, body(b'"' + b"x" * 500 + b'"'))])
    )
    assert "…" in shown
    assert shown.count("x") < 100


def test_queues_and_schedules_are_tables() -> None:
    shown = drawn(
        queue_table([QueueStats("tasks", queued=3, paused=True), QueueStats("b", state="disk full")])
    )
    assert "paused" in shown
    assert "disk full" in shown
    schedule = Schedule("nightly", NewJob("x", "Sweep"), cron="0 3 * * *", timezone="Europe/Berlin")
    shown = drawn(schedule_table([ScheduleStatus(schedule, 30.0)]))
    assert "0 3 * * * (Europe/Berlin)" in shown
    assert "never" in shown


def test_a_watch_counts_from_its_first_look_and_again_from_a_new_hosts() -> None:
    now = [0.0]
    live = LiveStats(lambda: now[0])
    live.take(QueueStats("q", queued=10, acked=100))
    now[0] = 2.0
    assert "4 done since 2.0 s, 2.0 per second, 6 to do" in drawn(
        live.take(QueueStats("q", queued=6, acked=104))
    )
    assert "0 done" in drawn(live.take(QueueStats("q", queued=6, acked=0)))


def body(text: bytes) -> msgspec.Raw:
    return msgspec.Raw(text)
