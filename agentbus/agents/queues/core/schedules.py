"""`Schedules`: jobs that are put again and again, each tick once.

A tick's job has an id made from the schedule's name and the tick, and is put in the same batch as the note
that says so. So a tick is put once, whatever dies. The wall clock may jump: after a jump back nothing is due
again before the last tick has passed for a second time; what a jump ahead skips is missed, as in a time
without a host.

A tick is missed when nobody looked for `GRACE` seconds after it. Of several that are due the latest is put.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.putting import Putting
from agentbus.agents.queues.messages import Schedule, ScheduleStatus
from agentbus.errors import BodyTooLargeError, QueueFullError, ScheduleError

_log = logging.getLogger("agentbus.agents")

GRACE = 60.0
"""Seconds after which a tick that was not put counts as missed."""

SCHEDULE_NOTE = "schedule:"
"""What the names of notes of schedules begin with."""

_JUMP = 1.0

NextTick = Callable[[Schedule, datetime], datetime]
"""Gives the first tick of a schedule after a moment, both in UTC."""


class ScheduleNote(msgspec.Struct, frozen=True):
    """What is stored of a schedule; times are seconds since 1970.

    Attributes:
        schedule: as it was put.
        since: when that was.
        last: its last tick.
    """

    schedule: Schedule
    since: float
    last: float | None = None


class _Kept:
    """A schedule. Attributes: its note; when it is due next; what keeps it from being due ever again."""

    __slots__ = ("due", "note", "problem")

    def __init__(self, note: ScheduleNote, due: float) -> None:
        self.note = note
        self.due = due
        self.problem = ""

    def stand_still(self, error: ScheduleError) -> None:
        """Be due no more, until a host can read it: the queue goes on without it."""
        if not self.problem:
            _log.error("a schedule stands still: %s", error)
        self.problem, self.due = str(error), math.inf


class Schedules:
    """The schedules of a queue.

    Args:
        book: the queue's jobs.
        putting: puts them.
        next_tick: the calendar.
        notes: all notes of the store.
        wall: seconds since 1970.

    Attributes:
        held_up: the names of those whose tick waits for room in the queue, and why.
    """

    def __init__(
        self, book: Book, putting: Putting, next_tick: NextTick, notes: dict[str, bytes], wall: float
    ) -> None:
        self._book = book
        self._putting = putting
        self._next_tick = next_tick
        self._kept: dict[str, _Kept] = {}
        self._wall = wall
        self.held_up: dict[str, str] = {}
        for name, text in notes.items():
            if name.startswith(SCHEDULE_NOTE):
                note = msgspec.json.decode(text, type=ScheduleNote)
                kept = self._kept[note.schedule.name] = _Kept(note, math.inf)
                # the clock may be put back
                self._set_due(kept, min(note.since, wall) if note.last is None else note.last)

    def _set_due(self, kept: _Kept, after: float) -> None:
        """Find out when a schedule is due; one that can't be read here stands still."""
        try:
            kept.due = self._after(kept.note.schedule, after)
        except ScheduleError as error:
            kept.stand_still(error)

    def put(self, schedule: Schedule, wall: float) -> ScheduleStatus:
        """Keep a schedule, in the place of one of the same name; a tick that it has put stays put.

        Raises:
            ScheduleError: it makes no sense, or there are too many.
        """
        old = self._kept.get(schedule.name)
        if old is None and len(self._kept) >= self._book.options.max_schedules:
            raise self._error(schedule, f"there are {len(self._kept)} schedules, and no more are kept")
        size, cap = len(memoryview(schedule.job.body)), self._book.options.max_job_bytes
        if size > cap:
            raise self._error(schedule, f"its job has {size} bytes, and {cap} are allowed")
        if old is None or old.note.schedule != schedule or old.problem:
            last = None if old is None else old.note.last
            due = self._after(schedule, wall if last is None else max(last, wall))
            self._keep(ScheduleNote(schedule, wall, last), due)
        return self._status(self._kept[schedule.name], wall)

    def drop(self, name: str) -> bool:
        """Forget a schedule; whether it was there."""
        if self._kept.pop(name, None) is None:
            return False
        self.held_up.pop(name, None)
        self._book.changes.notes[SCHEDULE_NOTE + name] = None
        return True

    def statuses(self, wall: float) -> list[ScheduleStatus]:
        """List the schedules by name."""
        return [self._status(self._kept[name], wall) for name in sorted(self._kept)]

    def next_due(self) -> float | None:
        """Give the time of the next tick, in seconds since 1970."""
        due = min((kept.due for kept in self._kept.values()), default=math.inf)
        return None if due == math.inf else due

    def fire(self, wall: float, at: float) -> None:
        """Put the jobs of ticks that are due.

        Args:
            wall: seconds since 1970.
            at: the queue's time.
        """
        went_back = wall < self._wall - _JUMP
        self._wall = wall
        for kept in self._kept.values():
            if went_back and not kept.problem:
                last = kept.note.last
                self._set_due(kept, wall if last is None else max(last, wall))
            if kept.due <= wall:
                try:
                    self._fire(kept, wall, at)
                except ScheduleError as error:
                    kept.stand_still(error)

    def _fire(self, kept: _Kept, wall: float, at: float) -> None:
        schedule, tick = kept.note.schedule, self._chosen(kept, wall)
        due = self._after(schedule, wall)
        if tick is None:
            kept.due = due
            return
        job = msgspec.structs.replace(schedule.job, id=f"{schedule.name}@{_text(tick)}")
        try:
            self._putting.put([job], at)
        except (QueueFullError, BodyTooLargeError) as error:
            self.held_up[schedule.name] = str(error)
            return  # it is tried again at the next tick of the queue
        self.held_up.pop(schedule.name, None)
        self._keep(msgspec.structs.replace(kept.note, last=tick), due)

    def _chosen(self, kept: _Kept, wall: float) -> float | None:
        """Choose which of the ticks that are due is put; None if they are missed and skipped."""
        schedule, tick = kept.note.schedule, kept.due
        if wall - tick > GRACE:
            recent = self._after(schedule, wall - GRACE)
            if recent > wall:
                return tick if schedule.misfire == "once" else None
            tick = recent
        while (following := self._after(schedule, tick)) <= wall:
            tick = following
        return tick

    def _keep(self, note: ScheduleNote, due: float) -> None:
        name = note.schedule.name
        kept = self._kept.get(name)
        if kept is None:
            self._kept[name] = _Kept(note, due)
        else:
            kept.note, kept.due, kept.problem = note, due, ""
        self._book.changes.notes[SCHEDULE_NOTE + name] = msgspec.json.encode(note)

    def _after(self, schedule: Schedule, time: float) -> float:
        try:
            return self._next_tick(schedule, datetime.fromtimestamp(time, UTC)).timestamp()
        except ModuleNotFoundError as error:
            raise self._error(schedule, "cron lines need `pip install agentbus[cron]`") from error
        except (ValueError, OverflowError) as error:
            raise self._error(schedule, str(error)) from error

    def _error(self, schedule: Schedule, problem: str) -> ScheduleError:
        return ScheduleError(self._book.name, schedule.name, problem)

    def _status(self, kept: _Kept, wall: float) -> ScheduleStatus:
        last = kept.note.last
        next_in = 0.0 if kept.problem else max(0.0, kept.due - wall)
        return ScheduleStatus(kept.note.schedule, next_in, "" if last is None else _text(last), kept.problem)


def _text(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")
