"""When to ping and when to give up: a pure rule over times.

Spec section 7: after a third of the inactivity time-out (at least 1 s) without an inbound frame send a ping,
and again each such interval; after the whole time-out close with 4000.
"""

from __future__ import annotations

import enum

from msgspec import Struct

SHORTEST_PING_INTERVAL = 1.0
_EARLY = 1e-6  # Timers may fire a hair early, and sums of floats may miss by one.


class Act(enum.Enum):
    """What is due now."""

    WAIT = "wait"
    PING = "ping"
    GIVE_UP = "give up"


class Keepalive(Struct, frozen=True):
    """The rule for one inactivity time-out.

    Attributes:
        inactivity_timeout: seconds of silence after which the hub counts as gone; 0 = never, and no pings.
    """

    inactivity_timeout: float

    @property
    def enabled(self) -> bool:
        """Whether there is anything to do at all."""
        return self.inactivity_timeout > 0

    @property
    def ping_interval(self) -> float:
        """Seconds of silence between two pings."""
        return max(self.inactivity_timeout / 3, SHORTEST_PING_INTERVAL)

    def look(self, now: float, heard_at: float, pinged_at: float) -> tuple[Act, float]:
        """Decide what is due.

        Args:
            now: seconds on a monotonic clock.
            heard_at: when the last inbound frame came.
            pinged_at: when the last ping went out; anything before `heard_at` counts as never.

        Returns:
            What to do, and the seconds until the next look.
        """
        deadline = heard_at + self.inactivity_timeout
        if now >= deadline - _EARLY:
            return Act.GIVE_UP, 0.0
        ping_at = max(heard_at, pinged_at) + self.ping_interval
        if now >= ping_at - _EARLY:
            return Act.PING, min(self.ping_interval, deadline - now)
        return Act.WAIT, min(ping_at, deadline) - now
