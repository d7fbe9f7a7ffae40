"""What programs may rely on with schedules: each tick puts one job, whatever dies, and however clocks jump.

The ticks of a schedule are times of the wall; which wall, the node says that hosts the queue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from agentbus.agents.queues.core.schedules import GRACE, SCHEDULE_NOTE, ScheduleNote
from agentbus.runtime.clock import VIRTUAL_EPOCH
from agentbus.testing.simulation.evidence import Evidence
from agentbus.testing.simulation.queues.disk import Written
from agentbus.testing.simulation.queues.history import History
from agentbus.testing.simulation.queues.ledger import stories

LATE: Final = 60.0
"""Seconds that what is due waits at most for the disk."""
ROOM: Final = 1000
"""Jobs that a queue takes at least in which a tick has room whenever it is due."""
SLACK: Final = 3.0
"""Seconds until a host looks at its clock, and writes."""


def ticks_put_one_job_each(evidence: Evidence) -> Iterator[str]:
    """A tick puts one job: with the note of it, not before its time, and not long after. Issue: schedules."""
    history = evidence.queue
    if history is None:
        return
    ids = [story.job.id for story in stories(history).values() if story.of_schedule]
    for job_id, count in Counter(ids).items():
        if count > 1:
            yield f"{job_id} was put {count} times"
    notes: dict[str, ScheduleNote | None] = {}
    put: set[str] = set()
    for written in history.written:
        notes.update(_notes(written))
        for job in written.jobs.values():
            name, _, text = job.id.partition("@")
            if text and job.id not in put:
                put.add(job.id)
                dropped = written.notes.get(SCHEDULE_NOTE + name, b"") is None  # in that very batch
                problem = None if dropped else _problem_of(history, written, notes.get(name), _time(text))
                if problem is not None:
                    yield f"{job.id} was put at {written.at:.3f} {problem}"


def _problem_of(history: History, written: Written, note: ScheduleNote | None, tick: float) -> str | None:
    if note is None or SCHEDULE_NOTE + note.schedule.name not in written.notes or (note.last or 0.0) < tick:
        return "without a note of it"
    wanted = history.schedules[note.schedule.name]  # the note may be of one that has replaced it since
    if all(round(tick, 3) % every for every in wanted):
        return f"though it is every {note.schedule.every:g} s"
    walls = _walls(history, written)
    if tick > max(walls):
        return f"when it was {max(walls) - VIRTUAL_EPOCH:.3f} for its host"
    return "though nobody makes up for it" if min(walls) - tick > GRACE + LATE + SLACK else None


def _walls(history: History, written: Written) -> list[float]:
    """Give what the time may have been for the host, when it put what was written then."""
    node = next(claim.node for claim in history.claims if claim.epoch == written.epoch)
    moments = [each.at for each in history.jumps if each.node == node and each.at > written.at - LATE]
    aheads = {history.ahead(node, at) for at in (written.at - LATE, *moments) if at <= written.at}
    return [VIRTUAL_EPOCH + written.at + ahead for ahead in aheads]


def no_tick_is_left_out(evidence: Evidence) -> Iterator[str]:
    """Of a world at rest each tick puts a job, but for those that a clock which went back has had before."""
    history, spec = evidence.queue, evidence.plan.queue
    if history is None or spec is None or not history.claims or spec.max_jobs < ROOM:
        return
    host = history.claims[-1]
    jumps = [jump.at for jump in history.jumps if jump.node == host.node]
    healed = max((step.at for step in evidence.plan.steps), default=0.0) + 1.0
    since = max([host.at, healed, *jumps]) + SLACK
    ahead = VIRTUAL_EPOCH + history.ahead(host.node, since)
    there = {story.job.id for story in stories(history).values()}
    for name, note, until in _kept(history, since, evidence.quiet_at):
        every, after = note.schedule.every, max(ahead + since, note.last or 0.0)
        tick = (after // every + 1) * every
        while tick < ahead + until - SLACK:
            if f"{name}@{_text(tick)}" not in there:
                yield f"{name}@{_text(tick)} was never put, which was due at {tick - ahead:.3f}"
            tick += every


def _kept(history: History, since: float, end: float) -> Iterator[tuple[str, ScheduleNote, float]]:
    """Give the schedules that are kept at a time, as they are then, and the time until which they are."""
    notes: dict[str, ScheduleNote] = {}
    until: dict[str, float] = {}
    for written in history.written:
        for name, note in _notes(written).items():
            if written.at <= since:
                notes.pop(name, None)
                if note is not None:
                    notes[name] = note
            elif name in notes and (note is None or note.schedule != notes[name].schedule):
                until.setdefault(name, written.at)
    for name, note in notes.items():
        yield name, note, until.get(name, end)


_decode = msgspec.json.Decoder(ScheduleNote).decode


def _notes(written: Written) -> dict[str, ScheduleNote | None]:
    return {
        name.removeprefix(SCHEDULE_NOTE): None if text is None else _decode(text)
        for name, text in written.notes.items()
        if name.startswith(SCHEDULE_NOTE)
    }


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _text(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")
