"""`QueueOptions`: what a queue allows, and what it does about failures."""

from __future__ import annotations

import math
from typing import Final, TypeGuard

import msgspec

from agentbus.errors import QueueOptionsError

MIN_LEASE = 30.0

MAX_JOB_BYTES = 8 << 20
"""What a message between nodes carries by default: a larger job could be given to no worker elsewhere."""

_HEADROOM = 256 << 10
"""Bytes that a message to a worker has beside a job's own: its effects, names, its envelope; or a quarter."""

_LEAST: Final[dict[str, float]] = {
    "max_attempts": 1,
    "retry_delay": 0.0,
    "retry_multiplier": 1.0,
    "max_retry_delay": 0.0,
    "retry_jitter": 0.0,
    "max_jobs": 1,
    "max_bytes": 1,
    "max_job_bytes": 1,
    "max_dead": 0,
    "rate": 1,
    "concurrency": 1,
    "result_ttl": 0.0,
    "max_results": 0,
    "max_workers": 1,
    "max_effects": 0,
    "max_effect_bytes": 0,
    "max_schedules": 0,
    "max_steps": 1,
    "max_value_bytes": 1,
}
_OPTIONAL: Final = frozenset({"rate", "concurrency"})
_MORE_THAN_NOTHING: Final = ("min_lease", "rate_period", "tick")


class QueueOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a queue allows.

    Attributes:
        lease: seconds that a job is a worker's without a renewal; at least `min_lease`.
        min_lease: the shortest lease that is accepted, in seconds.
        max_attempts: before a job is a dead letter.
        retry_delay: seconds before the second attempt; then `retry_multiplier` times as long.
        retry_multiplier: by which the delay grows from attempt to attempt.
        max_retry_delay: seconds that an attempt waits at most.
        retry_jitter: part of the delay that chance takes away or adds.
        max_jobs: jobs that are not over; a put beyond fails with `QueueFullError`.
        max_bytes: of their bodies, likewise.
        max_job_bytes: of one job with all that its worker is told with it; a put of a larger one fails with
            `BodyTooLargeError`, and a step whose inputs make it larger is a dead letter. What the host's bus
            sends in one message (`LinkOptions.max_body_bytes`) holds, too.
        max_dead: dead letters that are kept; the oldest go first.
        rate: jobs that may begin in `rate_period`; None = any.
        rate_period: seconds.
        concurrency: jobs that may be leased at a time; None = any.
        result_ttl: seconds that the end of a job is remembered.
        max_results: ends that are remembered; the oldest go first.
        max_workers: that may be attached.
        max_effects: effects of one job.
        max_effect_bytes: of the results of one job's effects.
        max_schedules: schedules that are kept.
        max_steps: jobs of one flow, steps of steps included; and of the jobs of one ack.
        max_value_bytes: of the list of values that a group or map gives; beyond it the flow fails, and the
            steps' own results are there.
        tick: seconds between two looks at the clock.
    """

    lease: float = 60.0
    min_lease: float = MIN_LEASE
    max_attempts: int = 5
    retry_delay: float = 1.0
    retry_multiplier: float = 2.0
    max_retry_delay: float = 300.0
    retry_jitter: float = 0.2
    max_jobs: int = 1_000_000
    max_bytes: int = 1 << 30
    max_job_bytes: int = MAX_JOB_BYTES
    max_dead: int = 10_000
    rate: int | None = None
    rate_period: float = 1.0
    concurrency: int | None = None
    result_ttl: float = 3600.0
    max_results: int = 100_000
    max_workers: int = 10_000
    max_effects: int = 100
    max_effect_bytes: int = 1 << 16
    max_schedules: int = 1000
    max_steps: int = 100_000
    max_value_bytes: int = 1 << 24
    tick: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            QueueOptionsError: see above.
        """
        for option, least in _LEAST.items():
            value: object = getattr(self, option)
            if option not in _OPTIONAL or value is not None:
                whole = isinstance(least, float) or isinstance(value, int)
                fits = _is_number(value) and value >= least
                self._check(option, value, value_is=fits, wanted=f"at least {least:g}")
                self._check(option, value, value_is=whole, wanted="a whole number")
        for option in _MORE_THAN_NOTHING:
            seconds: object = getattr(self, option)
            fits = _is_number(seconds) and 0 < seconds < math.inf
            self._check(option, seconds, value_is=fits, wanted="more than 0 seconds")
        self._check("retry_jitter", self.retry_jitter, value_is=self.retry_jitter <= 1, wanted="at most 1")
        fits = _is_number(self.lease) and self.min_lease <= self.lease < math.inf
        wanted = f"at least min_lease, which is {self.min_lease:g} seconds"
        self._check("lease", self.lease, value_is=fits, wanted=wanted)

    @staticmethod
    def _check(option: str, value: object, *, value_is: bool, wanted: str) -> None:
        if not value_is:
            raise QueueOptionsError(option, f"it is {wanted}, not {value!r}")

    def within(self, message_bytes: int) -> QueueOptions:
        """Give the options of a queue whose host sends so many bytes in one message at most."""
        room = max(1, message_bytes - min(_HEADROOM, message_bytes // 4))
        return msgspec.structs.replace(self, max_job_bytes=min(self.max_job_bytes, room))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
