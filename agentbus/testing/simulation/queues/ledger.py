"""The disk's account of a queue, job by job: the history that all others are held against.

A change counts from the moment at which it was durable, so the order on the disk is the order in which puts,
leases and acks took effect; whatever producers and workers saw must fit into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from agentbus.agents.queues.core.record import LIVE, Job
from agentbus.testing.simulation.queues.history import History


@dataclass(frozen=True)
class Change:
    """One change of a job. Attributes: when; the job before, None if it was put; the job after."""

    at: float
    before: Job | None
    after: Job

    @property
    def lost(self) -> bool:
        """Whether a lease ended without a word of its worker."""
        before, after = self.before, self.after
        if before is None or before.lease is None or after.lease == before.lease:
            return False
        return settled(after)[0] != before.lease.token

    @property
    def ends(self) -> bool:
        """Whether it is over since then."""
        return self.after.state not in LIVE and (self.before is None or self.before.state in LIVE)


@dataclass
class Story:
    """What became of one job or flow.

    Attributes:
        name: of its task; empty for a flow.
        changes: in order.
        bodies: that it had, in order: its message, then perhaps its value.
        erased_at: when its record went; None if it is there.
    """

    name: str
    changes: list[Change] = field(default_factory=list[Change])
    bodies: list[bytes] = field(default_factory=list[bytes])
    erased_at: float | None = None

    def __str__(self) -> str:
        return f"{self.name or self.job.flow} ({self.job.id})"

    @property
    def of_schedule(self) -> str:
        """The schedule that has put it; empty if none has."""
        name, _, tick = self.job.id.partition("@")
        return name if tick else ""

    @property
    def job(self) -> Job:
        """The job as it is now."""
        return self.changes[-1].after

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.job.state not in LIVE

    @property
    def value(self) -> object:
        """What it has given."""
        return msgspec.json.decode(self.bodies[-1]) if self.job.state == "done" else None

    def granted_at(self, token: str) -> float | None:
        """Give the time since which a token was valid; None if it never was."""
        for change in self.changes:
            if change.after.lease is not None and change.after.lease.token == token:
                return change.at
        return None


def settled(job: Job) -> tuple[str, str]:
    """Give the token of the attempt that was settled last, and with what."""
    return ("", "") if job.details is None else (job.details.settled, job.details.outcome)


@lru_cache(maxsize=1)
def stories(history: History) -> dict[int, Story]:
    """Give what became of each job, by the number of its record."""
    found: dict[int, Story] = {}
    for written in history.written:
        for number, job in written.jobs.items():
            story = found.get(number)
            body = written.bodies.get(number)
            if story is None:
                story = found[number] = Story("" if job.flow else _name_in(body or b"{}"))
            before = story.changes[-1].after if story.changes else None
            story.changes.append(Change(written.at, before, job))
            if body is not None:
                story.bodies.append(body)
        for number in written.erased:
            if number in found:
                found[number].erased_at = written.at
    return found


class _Named(msgspec.Struct):
    name: str


def _name_in(body: bytes) -> str:
    """Give the name of a task; "?" if it is none, as its message was lost."""
    try:
        return msgspec.json.decode(body, type=_Named).name
    except msgspec.ValidationError:
        return "?"


def by_id(history: History) -> dict[str, Story]:
    """Give what became of each job, by its id."""
    return {story.job.id: story for story in stories(history).values()}


def root_of(history: History, story: Story) -> Story:
    """Give the flow that a job is in the end a step of; itself if it is none."""
    while story.job.parent:
        story = stories(history)[story.job.parent]
    return story


def steps_of(history: History) -> dict[int, list[Story]]:
    """Give the steps of flows, in their order, by the number of the flow."""
    steps: dict[int, list[Story]] = {}
    for story in stories(history).values():
        if story.job.parent:
            steps.setdefault(story.job.parent, []).append(story)
    return steps


def by_token(history: History) -> dict[str, Story]:
    """Give what became of each job, by the tokens of all its attempts."""
    return {token: story for story in stories(history).values() for token in tokens(story)}


def tokens(story: Story) -> Iterator[str]:
    """Give the tokens that a job had."""
    for change in story.changes:
        if change.after.lease is not None:
            yield change.after.lease.token
