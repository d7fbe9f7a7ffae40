"""How long a job waits after an attempt that failed."""

from __future__ import annotations

from agentbus.agents.queues.core.options import QueueOptions
from agentbus.runtime.supervision import Backoff, RandomSource


def retry_delay(options: QueueOptions, attempts: int, random: RandomSource) -> float:
    """Give the seconds before the next attempt.

    Args:
        options: of the queue.
        attempts: how many have begun; at least 1.
        random: draws the jitter.
    """
    backoff = Backoff(
        initial_delay=options.retry_delay,
        multiplier=options.retry_multiplier,
        max_delay=max(options.max_retry_delay, options.retry_delay),
        jitter_ratio=options.retry_jitter,
    )
    return backoff.delay(attempts, random)
