"""Jobs in a worker's hands, and what is to be done about them. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from agentbus.agents.failures import describe
from agentbus.agents.queues.core.job import LeasedJob
from agentbus.agents.queues.messages import Settlement
from agentbus.errors import JobTimeoutError

Why = Literal["", "drain", "soft", "hard", "revoked", "lost"]
"""Why a handler was asked to end: empty if it was not. A later reason is a stronger one."""

_STRENGTH: dict[Why, int] = {"": 0, "drain": 1, "soft": 2, "hard": 3, "revoked": 4, "lost": 5}


HAND_BACK_GRACE = 2.0
"""Seconds that a cancelled handler gets before its job is handed back without waiting for it."""

PATIENCE = 1.0
"""Seconds that a job waits for a handler to give in; then it is handed back, and somebody else gets it."""

KILL_GRACE = 10.0
"""Seconds that a handler gets whose job is not ours any more; then its process is ended, if it has one."""


class Start(msgspec.Struct, frozen=True):
    """Have a replica handle a job. Attributes: the job; the slot, which says which replica."""

    job: LeasedJob
    slot: int


class Stop(msgspec.Struct, frozen=True):
    """Cancel the handler of a job. Attributes: the token of the attempt."""

    token: str


class Kill(msgspec.Struct, frozen=True):
    """End the process in which a handler works, if it has one: cancelling it was not enough."""

    token: str


class Stuck(msgspec.Struct, frozen=True):
    """Tell people: a handler does not give in, and nothing can end it; it keeps its place in the worker."""

    job: LeasedJob


class Lost(msgspec.Struct, frozen=True):
    """Tell people: what the handler does, or has done, does not count any more."""

    job: LeasedJob


class Ended(msgspec.Struct, frozen=True):
    """Tell people how an attempt has ended."""

    job: LeasedJob
    settlement: Settlement


Order = Start | Stop | Kill | Stuck | Lost | Ended


class Held:
    """A job that was leased to us.

    Args:
        number: ours, for its timer.
        job: as it was leased.
        now: the time.

    Attributes:
        number: see above.
        job: see above.
        slot: where its handler works, or has worked; None before it begins.
        waiting: whether it waits for a slot.
        working: whether its handler has begun and not ended.
        valid: whether the lease is ours, as far as we know.
        revoked: whether the host has said that it is not; how it ended is said to it all the same.
        why: the reason for which the handler was asked to end.
        asked: when it was.
        killed: when its process was ended, where it has one; None while it was not.
        stuck: whether people were told that it does not end.
        settlement: how the attempt has ended; None while that is open.
        began: when the handler began; before that, when the job came.
        marked: when the handler began, or last said that it goes on.
    """

    __slots__ = (
        "asked",
        "began",
        "job",
        "killed",
        "marked",
        "number",
        "revoked",
        "settlement",
        "slot",
        "stuck",
        "valid",
        "waiting",
        "why",
        "working",
    )

    def __init__(self, number: int, job: LeasedJob, now: float) -> None:
        self.number = number
        self.job = job
        self.slot: int | None = None
        self.waiting = False
        self.working = False
        self.valid = True
        self.revoked = False
        self.why: Why = ""
        self.asked = now
        self.killed: float | None = None
        self.stuck = False
        self.settlement: Settlement | None = None
        self.began = self.marked = now

    def begin(self, slot: int, now: float) -> None:
        """Note that its handler begins."""
        self.slot, self.waiting, self.working = slot, False, True
        self.began = self.marked = now

    @property
    def open(self) -> bool:
        """Whether it is ours, and nothing is decided."""
        return self.valid and self.settlement is None

    def ask_to_end(self, why: Why, now: float) -> bool:
        """Note why the handler is to end; whether it has to be told, as it was not before."""
        if not self.working or _STRENGTH[why] <= _STRENGTH[self.why]:
            return False
        first = not self.why
        self.why = why
        if first:
            self.asked = now
        return first

    def is_stalled(self, timeout: float | None, now: float) -> bool:
        """Whether its handler has said nothing for so long that its lease is not to be renewed."""
        return timeout is not None and self.working and self.open and now - self.marked >= timeout

    def due(self, drain_at: float | None) -> float | None:
        """Give when something is to be done about it at the latest.

        Args:
            drain_at: when a drain hands back what is left; None if there is none.
        """
        job, times = self.job, list[float]()
        if self.waiting:
            return self.began + PATIENCE
        if not self.working:
            return None
        if not self.open:
            if self.killed is None:
                return self.asked + KILL_GRACE
            return None if self.stuck else self.killed + KILL_GRACE
        if job.hard_timeout is not None:
            times.append(self.began + job.hard_timeout)
        if job.soft_timeout is not None and not self.why:
            times.append(self.began + job.soft_timeout)
        if drain_at is not None:
            times.append(max(self.asked, drain_at) + HAND_BACK_GRACE if self.why else drain_at)
        elif self.why == "revoked":
            times.append(self.asked + KILL_GRACE)
        return min(times, default=None)

    def given_in(self, queue: str) -> Settlement | None:
        """Say what has come of it once its handler gave in; None if nobody asked it to."""
        if self.why in {"soft", "hard"}:
            return self.timed_out(queue)
        if self.why == "drain":
            return Settlement(self.job.token, "release")
        return Settlement(self.job.token, "cancel") if self.why == "revoked" else None

    def timed_out(self, queue: str) -> Settlement:
        """Make the settlement of an attempt that took too long."""
        soft, hard = self.job.soft_timeout, self.job.hard_timeout
        limit = (soft if self.why == "soft" else hard) or 0.0
        error = JobTimeoutError(queue, self.job.id, self.job.attempt, limit)
        return Settlement(self.job.token, "fail", failure=describe(error))
