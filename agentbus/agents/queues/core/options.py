"""`QueueOptions`: what a queue allows, and what it does about failures."""

from __future__ import annotations

import msgspec

MIN_LEASE = 30.0


class QueueOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a queue allows.

    Attributes:
        lease: seconds that a job is a worker's without a renewal.
        min_lease: the shortest lease that is accepted, in seconds.
        max_attempts: before a job is a dead letter.
        retry_delay: seconds before the second attempt; then `retry_multiplier` times as long.
        retry_multiplier: by which the delay grows from attempt to attempt.
        max_retry_delay: seconds that an attempt waits at most.
        retry_jitter: part of the delay that chance takes away or adds.
        max_jobs: jobs that are not over; a put beyond fails with `QueueFullError`.
        max_bytes: of their bodies, likewise.
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
