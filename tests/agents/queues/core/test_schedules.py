"""Schedules: each tick is put once, whatever stops, jumps or is said twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.agents.queues.core.calendar import next_tick
from agentbus.agents.queues.core.job import NewJob
from agentbus.agents.queues.messages import ListJobs, Schedule
from agentbus.errors import ScheduleError
from tests.agents.queues.core.host import Host, job

HOURLY = "0 * * * *"


def scheduled(host: Host, **options: Any) -> Schedule:
    schedule = Schedule("s", job("ignored", {"n": 1}), **options)
    host.core.put_schedule(schedule, host.wall)
    host.turn()
    return schedule


def ticks(host: Host) -> list[str]:
    """Give the ticks whose jobs there are."""
    jobs = host.core.page(ListJobs(limit=500), host.now).jobs
    return [each.id.removeprefix("s@") for each in jobs]


def test_a_schedule_puts_its_job_at_every_tick_under_an_id_of_its_own() -> None:
    host = Host()
    scheduled(host, cron=HOURLY)
    host.pass_time(3 * 3600.0, step=60.0)
    assert ticks(host) == ["2025-01-01T01:00:00Z", "2025-01-01T02:00:00Z", "2025-01-01T03:00:00Z"]
    host.attach(capacity=1)
    assert host.one().type == "Task"


def test_every_so_many_seconds_is_counted_alike_by_everybody() -> None:
    host = Host()
    host.pass_time(7.0)
    scheduled(host, every=30.0)
    host.pass_time(60.0)
    assert ticks(host) == ["2025-01-01T00:00:30Z", "2025-01-01T00:01:00Z"]


def test_the_host_looks_at_the_clock_when_a_tick_is_due() -> None:
    host = Host()
    host.pass_time(1.0)
    scheduled(host, every=30.0)
    assert host.core.next_due(host.now) == pytest.approx(host.now + 29.0)


def test_a_schedule_that_is_put_again_changes_nothing() -> None:
    host = Host()
    for _ in range(3):
        scheduled(host, cron=HOURLY)
        host.pass_time(3600.0, step=60.0)
    assert len(ticks(host)) == 3
    assert len(host.core.schedules(host.wall)) == 1


def test_a_schedule_of_the_same_name_takes_the_place_of_the_last() -> None:
    host = Host()
    scheduled(host, cron=HOURLY)
    host.pass_time(3600.0, step=60.0)
    scheduled(host, cron="30 * * * *")
    host.pass_time(3600.0, step=60.0)
    assert ticks(host) == ["2025-01-01T01:00:00Z", "2025-01-01T01:30:00Z"]


def test_a_dropped_schedule_puts_nothing_also_after_a_restart() -> None:
    host = Host()
    scheduled(host, cron=HOURLY)
    assert host.core.drop_schedule("s")
    assert not host.core.drop_schedule("s")
    host.turn()
    host.restart()
    host.pass_time(3600.0, step=60.0)
    assert ticks(host) == []


def test_schedules_are_listed_with_their_next_and_last_tick() -> None:
    host = Host()
    schedule = scheduled(host, cron=HOURLY)
    host.pass_time(3600.0 + 600.0, step=60.0)
    (status,) = host.core.schedules(host.wall)
    assert status.schedule == schedule
    assert (status.next_in, status.last) == (3000.0, "2025-01-01T01:00:00Z")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "one of the two"),
        ({"cron": HOURLY, "every": 1.0}, "one of the two"),
        ({"cron": "not cron"}, "can't be read"),
        ({"cron": "0 0 31 2 *"}, "can't be read|never due"),
        ({"cron": HOURLY, "timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"cron": HOURLY, "timezone": "../etc"}, "etc"),
        ({"every": -1.0}, "every -1"),
        ({"every": 1e-9}, "every 1e-09"),
        ({"every": 1e300}, "1e300|1e\\+300"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(options: dict[str, object], problem: str) -> None:
    host = Host()
    with pytest.raises(ScheduleError, match=problem) as refusal:
        scheduled(host, **options)
    assert refusal.value.schedule == "s"
    assert host.core.schedules(host.wall) == []


def test_no_more_schedules_are_kept_than_may() -> None:
    host = Host(max_schedules=1)
    scheduled(host, every=5.0)
    scheduled(host, every=6.0)
    with pytest.raises(ScheduleError, match="no more"):
        host.core.put_schedule(Schedule("other", job("x"), every=5.0), host.wall)


def test_a_calendar_that_is_not_installed_is_said() -> None:
    def missing(schedule: Schedule, after: datetime) -> datetime:
        raise ModuleNotFoundError(f"no module for {schedule.cron} after {after}")

    host = Host(next_tick=missing)
    with pytest.raises(ScheduleError, match=r"agentbus\[cron\]"):
        scheduled(host, cron=HOURLY)


def test_a_flow_can_be_scheduled() -> None:
    host = Host()
    flow = NewJob("f", flow="chain", steps=(job("one"), job("two")))
    host.core.put_schedule(Schedule("s", flow, every=60.0), host.wall)
    host.attach(capacity=10)
    host.pass_time(120.0)
    host.attach(capacity=10)
    assert host.work() == ["one", "s@2025-01-01T00:02:00Z/0", "two", "s@2025-01-01T00:02:00Z/1"]


# -- missed ticks and clocks that jump -----------------------------------------------------------------------


@pytest.mark.parametrize(("misfire", "expected"), [("skip", []), ("once", ["2025-01-01T01:00:00Z"])])
def test_ticks_of_a_time_without_a_host_are_skipped_or_put_once(misfire: str, expected: list[str]) -> None:
    host = Host()
    scheduled(host, cron=HOURLY, misfire=misfire)
    host.restart(down=3.5 * 3600.0)
    host.pass_time(10.0)
    assert ticks(host) == expected
    host.pass_time(1800.0, step=60.0)
    assert ticks(host) == [*expected, "2025-01-01T04:00:00Z"]


def test_a_schedule_that_was_never_due_does_not_rest_after_a_clock_was_put_back() -> None:
    host = Host()
    scheduled(host, every=60.0)
    host.restart(down=-3600.0)
    host.pass_time(70.0)
    assert ticks(host) == ["2024-12-31T23:01:00Z"]


def test_a_tick_during_a_short_restart_is_put() -> None:
    host = Host()
    scheduled(host, cron=HOURLY)
    host.pass_time(3590.0, step=60.0)
    host.restart(down=30.0)
    host.tick()
    host.restart()
    host.tick()
    assert ticks(host) == ["2025-01-01T01:00:00Z"]


def test_a_tick_is_put_once_when_the_process_dies_around_it() -> None:
    host = Host()
    scheduled(host, cron=HOURLY)
    host.pass_time(3599.9, step=60.0)
    host.now, host.wall = host.now + 0.2, host.wall + 0.2
    host.core.tick(host.now, host.wall, connected=True)
    host.core.take(host.now)  # never written
    host.restart()
    host.tick()
    host.restart()
    host.tick()
    assert ticks(host) == ["2025-01-01T01:00:00Z"]


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
@pytest.mark.parametrize("back_after", [10.0, 5400.0])
def test_a_clock_that_jumps_and_is_put_right_doubles_nothing(jump: float, back_after: float) -> None:
    host = Host()
    host.core.watched = True
    scheduled(host, cron="*/20 * * * *", misfire="once")
    host.pass_time(7205.0, step=30.0)
    host.wall += jump
    host.pass_time(back_after, step=30.0)
    host.wall -= jump
    host.pass_time(4 * 3600.0, step=30.0)
    put = [each.id for each in host.changed if each.state == "queued"]
    assert len(put) == len(set(put))
    last_hours = [f"2025-01-01T0{hour}:{minute}:00Z" for hour in (4, 5) for minute in ("00", "20", "40")]
    assert set(last_hours) <= set(ticks(host))


def test_a_full_queue_gets_the_job_when_there_is_room() -> None:
    host = Host(max_jobs=1)
    host.put(job("a"))
    scheduled(host, every=600.0)
    assert host.core.held_up == {}
    host.pass_time(605.0, step=5.0)
    assert list(host.core.held_up) == ["s"]
    assert "it holds 1 jobs at most and is full" in host.core.held_up["s"]
    host.attach()
    assert host.work() == ["a"]
    host.pass_time(10.0)
    assert host.core.held_up == {}
    assert ticks(host) == ["2025-01-01T00:10:00Z"]


# -- the calendar --------------------------------------------------------------------------------------------


def ticks_from(cron: str, zone: str, begin: datetime, count: int) -> list[str]:
    schedule = Schedule("s", job("x"), cron=cron, timezone=zone)

    def following() -> Iterator[datetime]:
        tick = begin
        while True:
            tick = next_tick(schedule, tick)
            assert tick.tzinfo is UTC
            yield tick

    return [each.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z") for each in islice(following(), count)]


def test_a_fixed_time_that_is_skipped_in_spring_comes_right_after_and_once() -> None:
    begin = datetime(2025, 3, 29, 12, tzinfo=UTC)
    assert ticks_from("30 2 * * *", "Europe/Berlin", begin, 2) == ["30 03:00 +0200", "31 02:30 +0200"]


def test_a_fixed_time_that_comes_twice_in_autumn_is_due_once() -> None:
    begin = datetime(2025, 10, 25, 12, tzinfo=UTC)
    assert ticks_from("30 2 * * *", "Europe/Berlin", begin, 2) == ["26 02:30 +0200", "27 02:30 +0100"]


def test_intervals_are_kept_when_clocks_are_put_back() -> None:
    begin = datetime(2025, 10, 26, 0, 15, tzinfo=UTC)
    expected = ["26 02:30 +0200", "26 02:00 +0100", "26 02:30 +0100", "26 03:00 +0100"]
    assert ticks_from("*/30 * * * *", "Europe/Berlin", begin, 4) == expected


def test_seconds_stand_in_front() -> None:
    schedule = Schedule("s", job("x"), cron="15 0 0 1 1 *")
    assert next_tick(schedule, datetime(2025, 1, 1, tzinfo=UTC)) == datetime(2025, 1, 1, 0, 0, 15, tzinfo=UTC)


@given(st.floats(0.1, 1e6), st.floats(0.0, 4e9))
def test_ticks_of_an_interval_are_after_the_moment_and_not_far(every: float, time: float) -> None:
    after = datetime.fromtimestamp(time, UTC)
    schedule = Schedule("s", job("x"), every=every)
    tick = next_tick(schedule, after)
    assert 0 < (tick - after).total_seconds() <= every + 1e-5
    assert 0 < (next_tick(schedule, tick) - tick).total_seconds() <= every + 1e-5


def test_a_full_queue_is_asked_for_room_for_a_tick_now_and_then() -> None:
    host = Host(max_jobs=1)
    host.put(job("a"))
    scheduled(host, every=30.0)
    host.pass_time(31.0)
    assert host.core.next_due(host.now) == pytest.approx(host.now + host.options.tick)


def _no_calendar(_schedule: Schedule, _after: datetime) -> datetime:
    raise ModuleNotFoundError("No module named 'cronsim'")


def test_a_stored_schedule_that_cannot_be_read_here_stands_still_and_the_queue_goes_on() -> None:
    host = Host()
    scheduled(host, cron=HOURLY)
    broken = Host(host.store, next_tick=_no_calendar)
    broken.pass_time(2 * 3600.0, step=60.0)
    assert broken.put(job("other")) == ("other",)
    (status,) = broken.core.schedules(broken.wall)
    assert (status.next_in, status.schedule.cron) == (0.0, HOURLY)
    assert "agentbus[cron]" in status.problem
    whole = Host(host.store)
    (status,) = whole.core.schedules(whole.wall)
    assert (status.problem, status.next_in) == ("", 3600.0), "it was kept"


def test_a_schedule_that_cannot_be_read_any_more_stands_still_and_goes_on_when_it_is_put_again() -> None:
    readable = True

    def tick(schedule: Schedule, after: datetime) -> datetime:
        return next_tick(schedule, after) if readable else _no_calendar(schedule, after)

    host = Host(next_tick=tick)
    schedule = scheduled(host, every=60.0)
    readable = False
    host.pass_time(300.0)
    assert "agentbus[cron]" in host.core.schedules(host.wall)[0].problem
    readable = True
    assert host.core.put_schedule(schedule, host.wall).problem == ""
    host.pass_time(61.0)
    assert len(ticks(host)) == 1


def test_a_schedule_of_a_job_that_no_worker_could_be_told_is_refused() -> None:
    host = Host(max_job_bytes=100)
    schedule = Schedule("s", job("ignored", "x" * 200), every=60.0)
    with pytest.raises(ScheduleError, match="202"):
        host.core.put_schedule(schedule, host.wall)
