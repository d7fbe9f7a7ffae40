"""Counters that bound what a connection or an address may do in a time. Times are monotonic seconds."""

from __future__ import annotations

from collections import deque

MALFORMED_ALLOWED = 20  # spec section 5: more than 20 within 10 s is 1008
MALFORMED_WINDOW = 10.0
CONNECT_WINDOW = 60.0
MAX_ADDRESSES = 10_000


class TokenBucket:
    """Sustained `rate` per second, at most `burst` at once. Starts full."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._updated = now

    def take(self, now: float) -> bool:
        """Take one token; False when there is none."""
        tokens = self._tokens + (now - self._updated) * self._rate
        self._updated = now
        if tokens > self._burst:
            tokens = self._burst
        if tokens < 1.0:
            self._tokens = tokens
            return False
        self._tokens = tokens - 1.0
        return True


class Strikes:
    """Counts malformed frames of one connection within a sliding window. Spec section 5, 1008."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MALFORMED_ALLOWED + 1)

    def add(self, now: float) -> bool:
        """Count one; True when it is one too many."""
        self._times.append(now)
        return len(self._times) > MALFORMED_ALLOWED and now - self._times[0] <= MALFORMED_WINDOW


class ConnectRate:
    """At most `allowed` connects of one address within 60 s; 0 turns it off. Spec section 8.

    Refused attempts do not count, so that a patient retry gets in. Remembers at most `max_addresses`, and
    forgets the one that was quiet longest.
    """

    __slots__ = ("_allowed", "_max_addresses", "_times")

    def __init__(self, allowed: int, max_addresses: int = MAX_ADDRESSES) -> None:
        self._allowed = allowed
        self._max_addresses = max_addresses
        self._times: dict[str, deque[float]] = {}  # in the order of the last accepted connect

    def __len__(self) -> int:
        return len(self._times)

    def allow(self, address: str, now: float) -> float | None:
        """Count a connect.

        Returns:
            None when it is allowed, else the seconds after which the next one is.
        """
        if self._allowed == 0:
            return None
        self._forget_quiet(now)
        times = self._times.get(address)
        if times is None:
            self._make_room()
            times = deque[float](maxlen=self._allowed)
        elif len(times) == self._allowed and now - times[0] < CONNECT_WINDOW:
            return times[0] + CONNECT_WINDOW - now
        else:
            del self._times[address]
        times.append(now)
        self._times[address] = times
        return None

    def _forget_quiet(self, now: float) -> None:
        while self._times:
            address, times = next(iter(self._times.items()))
            if now - times[-1] < CONNECT_WINDOW:
                return
            del self._times[address]

    def _make_room(self) -> None:
        if len(self._times) >= self._max_addresses:
            del self._times[next(iter(self._times))]
