"""One agent that lets a whole fleet ask a model endpoint no faster than the endpoint allows."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from agentbus.agents import AsyncAgentActor, Message, Request, handles
from agentbus.errors import TokensOverQuotaError
from agentbus.llm.ledger import Ledger, Quota

PERMIT_TIMEOUT = 600.0
"""Seconds after which a permit that was never released, since its holder died, counts as done."""

MAX_WAITING = 100_000


class Permit(Message, wire_name="agentbus.llm.Permit"):
    """A request may go to the endpoint now.

    Attributes:
        key: names it in the `Release`.
    """

    key: str


class Acquire(Request[Permit], wire_name="agentbus.llm.Acquire"):
    """May a request go? The answer comes when it may.

    Attributes:
        tokens: what it may take at most, prompt and answer.
    """

    tokens: int


class Release(Message, wire_name="agentbus.llm.Release"):
    """A request is done.

    Attributes:
        key: of the permit.
        tokens: what it took; None if that is not known.
        retry_after: the endpoint refused it, and asked to wait that many seconds; None = it did not.
    """

    key: str
    tokens: int | None = None
    retry_after: float | None = None


class RateLimiter(AsyncAgentActor):
    """Shares one endpoint's allowance among everybody who asks it for permits, first come, first served.

        limiter = bus.spawn(RateLimiter, Quota(tokens_per_minute=30_000), name="limiter")
        model = Model("small-1", limiter=bus.ref("…/limiter"))        # on any node

    An endpoint's Retry-After holds for all. Who gives up waiting leaves the queue; the permit of somebody who
    died comes back after 10 minutes.

    Args:
        quota: what the endpoint allows.
    """

    capabilities = ("agentbus.llm.limit",)
    concurrency: ClassVar[int] = MAX_WAITING

    def __init__(self, quota: Quota) -> None:
        self._ledger = Ledger(quota)
        self._numbers = 0
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._expiries: dict[str, asyncio.TimerHandle] = {}
        self._timer: asyncio.TimerHandle | None = None

    @handles(raises=(TokensOverQuotaError,))
    async def acquire(self, request: Acquire) -> Permit:
        """Wait for a request's turn."""
        self._numbers += 1
        key = f"{self._numbers:x}"
        loop = asyncio.get_running_loop()
        self._asked[key] = granted = loop.create_future()
        try:
            self._ledger.ask(key, request.tokens)
            self._look()
            await granted
        except BaseException:
            self._ledger.forget(key)
            self._look()
            raise
        finally:
            del self._asked[key]
        self._expiries[key] = loop.call_later(PERMIT_TIMEOUT, self._done, Release(key=key))
        return Permit(key=key)

    @handles
    def release(self, done: Release) -> None:
        """Note what a request took, and let others go."""
        self._done(done)

    def _done(self, done: Release) -> None:
        expiry = self._expiries.pop(done.key, None)
        if expiry is None:
            return  # a second release, or one that comes after its time
        expiry.cancel()
        if done.retry_after is None:
            self._ledger.done(done.key, done.tokens)
        else:
            self._ledger.refused(done.key, done.retry_after, self.clock.monotonic())
        self._look()

    def _look(self) -> None:
        """Let go what may go, and look again when more may."""
        now = self.clock.monotonic()
        for key in self._ledger.grants(now):
            granted = self._asked[key]
            if not granted.done():
                granted.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        at = self._ledger.next_at(now)
        loop = asyncio.get_running_loop()
        self._timer = None if at is None else loop.call_later(max(0.0, at - now), self._look)

    def on_stop(self) -> None:
        """Leave no timer behind."""
        for timer in (*self._expiries.values(), *([self._timer] if self._timer else [])):
            timer.cancel()
