"""`next_tick`: when a schedule is due, by a cron line in a time zone, or every so many seconds.

Cron lines are read by `cronsim`, which does as Debian's cron does when clocks are put forward or back: a job
at a fixed time runs once on such a day, one with `*` in its hours or minutes keeps its intervals.
"""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta

from agentbus.agents.queues.messages import Schedule

MIN_EVERY = 0.1
"""Seconds between two ticks at least."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def next_tick(schedule: Schedule, after: datetime) -> datetime:
    """Give the first tick after a moment.

    Args:
        schedule: with `every`, its ticks are the multiples of that since 1970: whoever counts gets the same.
        after: with its time zone.

    Returns:
        The tick, in UTC.

    Raises:
        ValueError: the schedule makes no sense, or is never due again.
        ModuleNotFoundError: `agentbus[cron]` is not installed.
    """
    if bool(schedule.cron) == bool(schedule.every):
        raise ValueError("a schedule has a cron line or a number of seconds, one of the two")
    return _next_cron(schedule, after) if schedule.cron else _next_multiple(schedule.every, after)


def _next_multiple(every: float, after: datetime) -> datetime:
    if not MIN_EVERY <= every <= 1e9:
        raise ValueError(f"every {every} s is not between {MIN_EVERY} and 1e9")
    step = round(every / 1e-6)
    return _EPOCH + ((after - _EPOCH) // _MICROSECOND // step + 1) * step * _MICROSECOND


def _next_cron(schedule: Schedule, after: datetime) -> datetime:
    from cronsim import CronSim, CronSimError

    try:
        local = after.astimezone(zoneinfo.ZoneInfo(schedule.timezone))
        return next(CronSim(schedule.cron, local)).astimezone(UTC)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"no time zone is called {schedule.timezone!r}") from error
    except CronSimError as error:
        raise ValueError(f"the cron line {schedule.cron!r} can't be read: {error}") from error
    except StopIteration:
        raise ValueError(f"the cron line {schedule.cron!r} is never due") from None
