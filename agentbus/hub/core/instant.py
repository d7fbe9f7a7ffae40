"""The two times that the core is told with every call."""

from __future__ import annotations

import msgspec


class Instant(msgspec.Struct, frozen=True, gc=False):
    """One moment, read from the shell's clock.

    Attributes:
        monotonic: seconds of a clock that never steps; rates, windows and delays count on it.
        wall: Unix seconds; token times, the message quota's month and `serverTime` count on it.
    """

    monotonic: float
    wall: float
