"""The pace of a connection: a token bucket that keeps it below the rate which the hub answers with 4011.

A default hub closes a connection over 100 frames/s with a burst of 200. The client spends a few frames by
itself (pings, replayed subscriptions), so the bus leaves it a tenth of the rate and a quarter of the burst.
The last tokens are for control traffic.
"""

from __future__ import annotations

import msgspec

ROUNDING = 1e-6


class Pace(msgspec.Struct, frozen=True):
    """How fast frames may go out.

    Attributes:
        rate: frames per second in the long run.
        burst: frames at once after a rest.
        reserve: tokens that only control traffic may take.
    """

    rate: float = 90.0
    burst: float = 150.0
    reserve: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a pace at which nothing would move.

        Raises:
            ValueError: rate or burst is not above zero, or the reserve leaves less than one token.
        """
        if self.rate <= 0 or self.burst < 1 or not 0 <= self.reserve <= self.burst - 1:
            raise ValueError("a pace needs rate > 0, burst >= 1 and 0 <= reserve <= burst - 1")


def pace_below(messages_per_second: float, message_burst: float) -> Pace:
    """Give the pace that stays below a hub's announced limits (extension `limits.v1`).

    Args:
        messages_per_second: the hub's sustained rate; 0 or less means no limit.
        message_burst: the hub's burst.
    """
    if messages_per_second <= 0:
        return Pace(rate=1e6, burst=1e6, reserve=0)
    burst = max(message_burst * 0.75, 1.0)
    return Pace(rate=messages_per_second * 0.9, burst=burst, reserve=min(10.0, (burst - 1) / 2))


class Pacer:
    """Give out tokens, one per frame.

    Args:
        pace: see `Pace`.
        now: monotonic seconds; the bucket starts full.
    """

    def __init__(self, pace: Pace, now: float) -> None:
        self.pace = pace
        self._tokens = pace.burst
        self._at = now

    def _refill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self.pace.burst, self._tokens + (now - self._at) * self.pace.rate)
            self._at = now

    def take(self, now: float, *, urgent: bool = False) -> bool:
        """Take a token if there is one for this kind of traffic."""
        self._refill(now)
        floor = 0.0 if urgent else self.pace.reserve
        if self._tokens - 1 < floor - ROUNDING:
            return False
        self._tokens -= 1
        return True

    def ready_at(self, now: float, *, urgent: bool = False) -> float:
        """Say when `take` will succeed next."""
        self._refill(now)
        missing = 1 + (0.0 if urgent else self.pace.reserve) - self._tokens
        return now if missing <= 0 else now + missing / self.pace.rate

    def plentiful(self, now: float) -> bool:
        """Whether more than half of the burst is left: small frames may go at once instead of waiting."""
        self._refill(now)
        return self._tokens > self.pace.burst / 2

    def spend(self, now: float) -> None:
        """Count a frame that had to go out regardless: a subscription, an announcement."""
        self._refill(now)
        self._tokens -= 1

    def renew(self, pace: Pace, now: float) -> None:
        """Start on a new connection, whose bucket at the hub is full, under its limits."""
        self.pace = pace
        self._tokens = pace.burst
        self._at = now
