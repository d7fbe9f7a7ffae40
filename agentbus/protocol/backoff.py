"""How long a client waits before it tries again (spec section 5)."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any, Protocol

from agentbus.protocol.codes import CloseCode

_LARGEST_EXPONENT = 2**53
"""Beyond it a float tells neighbours no longer apart, and every multiplier over 1 has overflowed."""


class Chance(Protocol):
    """Where jitter comes from: `random.Random`, or what a test puts in its place."""

    def random(self) -> float:
        """Return the next number, at least 0 and below 1."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectOptions:
    """Attempt n waits `min(initial_delay * multiplier ** (n - 1), max_delay)`, give or take some jitter.

    Attributes:
        initial_delay: seconds before the first attempt; not negative.
        multiplier: growth from one attempt to the next; at least 1.
        max_delay: seconds at most, before jitter; not negative.
        jitter_ratio: share of the delay, 0 to 1, by which chance may shorten or lengthen it.
        max_attempts: attempts in a row without a welcome; after the last the client gives up.

    Raises:
        ValueError: a value is out of its range, not finite, or not a number.
    """

    initial_delay: float = 0.5
    multiplier: float = 2.0
    max_delay: float = 30.0
    jitter_ratio: float = 0.2
    max_attempts: int = 100

    def __post_init__(self) -> None:
        """Refuse nonsense at once, not at the first lost connection."""
        _check_range("initial_delay", self.initial_delay, 0.0, math.inf)
        _check_range("multiplier", self.multiplier, 1.0, math.inf)
        _check_range("max_delay", self.max_delay, 0.0, math.inf)
        _check_range("jitter_ratio", self.jitter_ratio, 0.0, 1.0)
        if not _is_whole(self.max_attempts) or self.max_attempts < 0:
            msg = f"max_attempts must be an int of at least 0, not {self.max_attempts!r}"
            raise ValueError(msg)


def retry_delay(
    options: ReconnectOptions, attempt: int, code: int, random: Chance, at_least: float = 0.0
) -> float | None:
    """Say how long to wait before an attempt, or that there is none.

    Args:
        options: shape of the backoff.
        attempt: number of the attempt to make, from 1; a welcome starts again at 1.
        code: close code that ended the connection, or the attempt before.
        random: source of the jitter; asked once at most.
        at_least: seconds that the server asked for (`Retry-After`); nonsense is ignored.

    Returns:
        Seconds, finite and not negative; None where the code forbids a retry or the attempts are used up.
    """
    rule = CloseCode.of(code).retry
    if not rule.allowed or attempt > options.max_attempts:
        return None
    delay = _undisturbed_delay(options, attempt)
    if rule.floor:
        # Jitter may only lengthen what follows a floor: a share of the floor comes on top.
        delay = max(delay, rule.floor) + options.jitter_ratio * random.random() * rule.floor
    else:
        delay *= 1.0 + options.jitter_ratio * (2.0 * random.random() - 1.0)
    asked = at_least if math.isfinite(at_least) else 0.0
    return min(max(delay, asked), sys.float_info.max)


def _undisturbed_delay(options: ReconnectOptions, attempt: int) -> float:
    exponent = min(max(attempt - 1, 0), _LARGEST_EXPONENT)
    try:
        return min(options.initial_delay * float(options.multiplier) ** exponent, float(options.max_delay))
    except OverflowError:
        return float(options.max_delay) if options.initial_delay else 0.0


def _check_range(name: str, value: Any, least: float, most: float) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not _is_finite(value) or not least <= value <= most:
        limit = f"at least {least:g}" if math.isinf(most) else f"from {least:g} to {most:g}"
        msg = f"{name} must be a finite number, {limit}, not {value!r}"
        raise ValueError(msg)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no float can hold
        return False
