"""`TokenBucket`: how often jobs may begin."""

from __future__ import annotations

_ONE = 1 - 1e-6
"""Of a token, less what rounding may take: the moment that `wait` names must not come too early by a hair."""


class TokenBucket:
    """So many starts in a period on average, and as many at once after a rest.

    Args:
        rate: starts per period; at least 1.
        period: seconds; more than 0.
        now: the time.
    """

    __slots__ = ("_cap", "_last", "_per_second", "_tokens")

    def __init__(self, rate: int, period: float, now: float) -> None:
        self._cap = float(rate)
        self._tokens = float(rate)
        self._per_second = rate / period
        self._last = now

    @property
    def tokens(self) -> float:
        """How many may begin now, parts of one included."""
        return self._tokens

    def resume(self, tokens: float, elapsed: float) -> None:
        """Go on with what a bucket held so many seconds ago."""
        self._tokens = min(self._cap, max(0.0, tokens) + elapsed * self._per_second)

    def wait(self, now: float) -> float:
        """Give seconds until one may begin; 0 if one may now."""
        self._fill(now)
        return 0.0 if self._tokens >= _ONE else (1 - self._tokens) / self._per_second

    def take(self, now: float) -> bool:
        """Begin one, if it may."""
        self._fill(now)
        if self._tokens < _ONE:
            return False
        self._tokens -= 1
        return True

    def _fill(self, now: float) -> None:
        elapsed = max(0.0, now - self._last)
        self._tokens = min(self._cap, self._tokens + elapsed * self._per_second)
        self._last = now
