"""Why a job may run again: its worker was certainly dead, or something kept its lease from being renewed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from agentbus.agents.events import BusConnected, BusDisconnected, NodeReborn
from agentbus.testing.simulation.bus.letters import LifeLog
from agentbus.testing.simulation.evidence import Evidence
from agentbus.testing.simulation.hub import ORIGIN
from agentbus.testing.simulation.queues.disk import WRITE_DELAYS
from agentbus.testing.simulation.queues.history import History
from agentbus.testing.simulation.queues.ledger import Change, Story, stories
from agentbus.testing.simulation.queues.steps import FillDisk
from agentbus.testing.simulation.troubles import (
    CrashHub,
    CutAfter,
    Delaying,
    Dropping,
    Partition,
    PauseHub,
    Refusing,
    ShutDownHub,
)

MOMENT: Final = 0.01
RECOVERY: Final = 5.0
"""Seconds after the end of a trouble until leases are renewed again: a wait between two tries, and some."""
FAULTS: Final = (CutAfter, Delaying, Dropping, Partition, Refusing)


@dataclass(frozen=True)
class Trouble:
    """Something that may keep leases from being renewed.

    Attributes:
        begin: virtual time.
        end: when it was over.
        who: a node; empty for all.
    """

    begin: float
    end: float
    who: str = ""


def redeliveries_have_a_reason(evidence: Evidence) -> Iterator[str]:
    """A job runs again if it failed, was handed back, its worker died, or its lease ended in trouble.

    agents.md, *Leases*: silence redelivers when the lease is over, a certified death at once.
    """
    history, spec = evidence.queue, evidence.plan.queue
    if history is None or spec is None:
        return
    troubles = list(_troubles(evidence, history))
    for story in stories(history).values():
        for change in story.changes:
            lease = None if change.before is None else change.before.lease
            if lease is None or not change.lost or _has_gone(evidence, history, story, change):
                continue
            if _was_unheard(history, story, lease.token, change.at):
                continue
            node, held = lease.worker.split("/")[-2], change.at - (story.granted_at(lease.token) or 0.0)
            if held < spec.lease - max(WRITE_DELAYS) - MOMENT:  # it runs since before it was durable
                yield f"{story} was taken from {node} at {change.at:.3f} after {held:.3f} s, and it lived"
            elif not _in_trouble(troubles, history, node, change.at - spec.lease - RECOVERY, change.at):
                yield f"{story} was taken from {node} at {change.at:.3f}, though nothing was wrong"


def _has_gone(evidence: Evidence, history: History, story: Story, change: Change) -> bool:
    """Tell whether it is certain that the worker did not work on the job any more."""
    lease = None if change.before is None else change.before.lease
    if lease is None:
        return False
    node, worker = lease.worker.split("/")[-2:]
    granted = story.granted_at(lease.token) or 0.0
    lives = _lives_of(history, lease.session) or [
        life for life in evidence.lives if life.node == node and life.began_at <= granted
    ]
    ends = [end for life in lives for end in _ends(life)]
    drains = [drain.at for drain in history.drains if drain.life in lives and drain.worker == worker]
    return any(at <= change.at for at in ends + drains)


def _was_unheard(history: History, story: Story, token: str, at: float) -> bool:
    """Tell whether a host did not live to tell a worker of its lease, which so never began."""
    granted = story.granted_at(token) or 0.0
    begun = any(attempt.token == token for attempt in history.attempts)
    return not begun and any(granted <= claim.at <= at for claim in history.claims)


def _lives_of(history: History, session: str) -> list[LifeLog]:
    """Give the life of a worker's session, if it ever took up a job."""
    tokens = {
        change.after.lease.token
        for story in stories(history).values()
        for change in story.changes
        if change.after.lease is not None and change.after.lease.session == session
    }
    return [attempt.life for attempt in history.attempts if attempt.token in tokens][:1]


def _ends(life: LifeLog) -> Iterator[float]:
    for at in (life.killed_at, life.closing_at, life.ended_at):
        if at is not None:
            yield at


# -- what may be in the way --------------------------------------------------------------------------------


def _in_trouble(troubles: list[Trouble], history: History, node: str, begin: float, end: float) -> bool:
    """Tell whether something was in the way between a worker's node and the queue's host."""
    concerned = {"", node, *(claim.node for claim in history.claims if claim.at <= end)}
    return any(each.begin <= end and each.end >= begin and each.who in concerned for each in troubles)


def _troubles(evidence: Evidence, history: History) -> Iterator[Trouble]:
    for step in evidence.plan.steps:
        yield from _of_step(step)
    for name, stalls in evidence.stalls.items():
        for stall in stalls:
            yield Trouble(stall.at, stall.until, "" if name == ORIGIN else name)
    for claim in history.claims:
        yield Trouble(claim.at, claim.at)
    for life in evidence.lives:
        yield from _cut_off(life)
        for end in _ends(life):
            yield Trouble(end, end, life.node)


def _of_step(step: Any) -> Iterator[Trouble]:
    if isinstance(step, FAULTS):
        late = step.seconds + step.jitter if isinstance(step, Delaying) else 0.0
        yield Trouble(step.at, step.at + step.lasts + late, step.who or "")
    elif isinstance(step, FillDisk | PauseHub):
        yield Trouble(step.at, step.at + step.lasts)
    elif isinstance(step, CrashHub | ShutDownHub):
        yield Trouble(step.at, step.at + step.down)


def _cut_off(life: LifeLog) -> Iterator[Trouble]:
    """Give the times in which a node had no connection."""
    since: float | None = life.began_at
    for at, event in life.events:
        if isinstance(event, BusDisconnected) and since is None:
            since = at
        elif isinstance(event, BusConnected) and since is not None:
            yield Trouble(since, at, life.node)
            since = None
        elif isinstance(event, NodeReborn):  # what was on its way to the life before is lost
            yield Trouble(at, at, life.node)
    if since is not None:
        yield Trouble(since, min(_ends(life), default=float("inf")), life.node)
