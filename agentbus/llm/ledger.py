"""Who may ask a model endpoint now: requests, tokens and concurrency of a whole fleet, in one ledger. Pure.

An endpoint allows so much per window (a minute). The ledger remembers what was granted within the last one,
and lets a request go when it still fits: no window, wherever the endpoint's begins, holds more than allowed.
A request's tokens are a guess until it is done; then the true number takes its place. Guesses are scaled by
what they turned out to be worth, so that cautious callers do not leave half of the allowance unused.

    ask ──fits──► granted ──done──► counted, until the window has passed
     │ waits, in order                 └─ refused by the endpoint: everybody waits until `retry_after` is over
"""

from __future__ import annotations

from collections import OrderedDict, deque

import msgspec

from agentbus.errors import TokensOverQuotaError

WINDOW = 60.0
MARGIN = 0.5
"""Seconds by which a window is taken for longer: requests do not all reach the endpoint equally fast."""

WORTH_STEP = 0.1
WORTH_MARGIN = 1.1


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint allows all of us together; None = it does not say.

    Attributes:
        requests_per_minute: requests that may begin within a minute.
        tokens_per_minute: tokens, of prompts and answers, within a minute.
        concurrency: requests at a time.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        """Refuse what would let nothing through."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is at least 1, or None; not {value}")


class _Entry(msgspec.Struct):
    """What one request takes of its window."""

    at: float
    guess: int
    tokens: int
    counted: bool = True


class Ledger:
    """The requests of a fleet to one endpoint.

    Args:
        quota: what the endpoint allows.
    """

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._waiting: OrderedDict[str, int] = OrderedDict()
        self._running: dict[str, _Entry] = {}
        self._window: deque[_Entry] = deque()
        self._tokens = 0
        self._worth = 1.0
        self._closed_until = 0.0

    # -- state -----------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Count the requests that wait for their turn."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Count the requests that were granted and are not done."""
        return len(self._running)

    @property
    def tokens(self) -> int:
        """Tokens that count in the window that ends now."""
        return self._tokens

    # -- what callers do -------------------------------------------------------------------------------------

    def ask(self, key: str, tokens: int) -> None:
        """Queue a request.

        Args:
            key: names it.
            tokens: what it may take at most, prompt and answer.

        Raises:
            TokensOverQuotaError: more than a whole window allows.
        """
        allowed = self._quota.tokens_per_minute
        if allowed is not None and tokens > allowed:
            raise TokensOverQuotaError(tokens, allowed)
        self._waiting[key] = max(0, tokens)

    def forget(self, key: str) -> None:
        """Take back a request that waits, or that was granted and never went."""
        if self._waiting.pop(key, None) is None:
            self.done(key, 0)

    def done(self, key: str, tokens: int | None) -> None:
        """Note what a request took in the end; None if that is not known."""
        entry = self._running.pop(key, None)
        if entry is None or tokens is None:
            return
        if entry.guess and tokens:
            self._worth += WORTH_STEP * (tokens / entry.guess - self._worth)
        self._set_tokens(entry, tokens)

    def refused(self, key: str, retry_after: float, now: float) -> None:
        """Note that the endpoint refused a request: nobody goes before that many seconds are over."""
        self.done(key, 0)
        self._closed_until = max(self._closed_until, now + retry_after)

    # -- what may go -----------------------------------------------------------------------------------------

    def grants(self, now: float) -> list[str]:
        """Give the requests that may go now, in the order in which they asked."""
        self._leave_window(now)
        granted: list[str] = []
        while self._waiting and now >= self._closed_until:
            key, tokens = next(iter(self._waiting.items()))
            guess = self._scaled(tokens)
            if not self._fits(guess):
                break
            del self._waiting[key]
            entry = _Entry(now, tokens, guess)
            self._tokens += guess
            self._running[key] = entry
            self._window.append(entry)
            granted.append(key)
        return granted

    def next_at(self, now: float) -> float | None:
        """When `grants` may give something next; None if only a request that is done can change anything."""
        if not self._waiting:
            return None
        if now < self._closed_until:
            return self._closed_until
        full = self._quota.concurrency is not None and len(self._running) >= self._quota.concurrency
        if full or not self._window:
            return None
        return self._window[0].at + WINDOW + MARGIN

    def _scaled(self, tokens: int) -> int:
        return min(tokens, int(tokens * self._worth * WORTH_MARGIN) + 1)

    def _fits(self, tokens: int) -> bool:
        quota = self._quota
        return (
            (quota.concurrency is None or len(self._running) < quota.concurrency)
            and (quota.requests_per_minute is None or len(self._window) < quota.requests_per_minute)
            and (quota.tokens_per_minute is None or self._tokens + tokens <= quota.tokens_per_minute)
        )

    def _leave_window(self, now: float) -> None:
        while self._window and self._window[0].at + WINDOW + MARGIN <= now:
            entry = self._window.popleft()
            self._set_tokens(entry, 0)
            entry.counted = False

    def _set_tokens(self, entry: _Entry, tokens: int) -> None:
        if entry.counted:
            self._tokens += tokens - entry.tokens
            entry.tokens = tokens
