"""One message in the hands of a behaviour: who waits for it, whether it is still wanted, what it asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import msgspec

from agentbus.errors import AskTimeoutError, FutureCancelledError
from agentbus.runtime.envelope import Again, Ask
from agentbus.runtime.future import Future

if TYPE_CHECKING:
    from collections.abc import Generator

GIVING_IN = (asyncio.CancelledError, FutureCancelledError, AskTimeoutError)
"""What unwinds a handler whose message nobody wants: its task's end, or that of an ask it waits for."""


class CancelToken(msgspec.Struct, eq=False):
    """Tells a handler that its work is no longer wanted; a handler that never asks is not interrupted.

    It says so once its asker has given up, by cancelling or because its time is over, or once the agent is
    being stopped at once. After the reply it says so no more: that was wanted.

    Attributes:
        future: of the reply; None if nobody waits for one.
        answered: whether the handler has settled the future itself; set before it does.
    """

    future: Future[Any] | None = None
    answered: bool = False
    _cancelled: bool = False
    _callbacks: list[Callable[[], object]] | None = None
    _last: Callable[[], object] | None = None

    @property
    def cancelled(self) -> bool:
        """Whether the work is no longer wanted; from any thread."""
        return self._cancelled or (self.future is not None and not self.answered and self.future.done())

    def on_cancel(self, fn: Callable[[], object]) -> None:
        """Call `fn` when the work is no longer wanted, on the thread that says so; at once if it is so."""
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(fn)
        self._follow()

    def on_cancel_last(self, fn: Callable[[], object]) -> None:
        """Call `fn` like `on_cancel`, but after all others."""
        self._last = fn
        self._follow()

    def _follow(self) -> None:
        if self.future is not None:
            self.future.add_done_callback(self._settled)
        if self._cancelled:
            self.cancel()

    def _settled(self, _future: Future[Any]) -> None:
        if not self.answered:
            self.cancel()

    def cancel(self) -> None:
        """Say that the work is no longer wanted; from any thread."""
        self._cancelled = True
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                break  # another thread was faster
            callback()
        if self._last is not None:
            self._last()


class Job(CancelToken, eq=False):
    """A message that is being handled; see `job_of`.

    Attributes:
        item: as it lay in the mailbox.
        message: what was sent.
        future: who waits for the reply; None for a tell.
        attempts: how often its handling has failed before.
        task: the one that its handler runs in; None on a thread.
        asks: those that were sent for it and are not done; None if none ever was.
        ended: whether its handler has ended without having waited for anything: its task serves others now.
    """

    item: Any = None
    message: Any = None
    attempts: int = 0
    task: asyncio.Task[Any] | None = None
    asks: dict[Future[Any], None] | None = None
    ended: bool = False
    _token: CancelToken | None = None

    @property
    def token(self) -> CancelToken:
        """Whether it is still wanted: itself, unless it stands in for another message."""
        return self if self._token is None else self._token

    def stand_in_for(self, other: Job) -> None:
        """Be wanted as long as another is, whose message this one handles."""
        self._token = other.token
        self.attempts = other.attempts
        self.task = other.task

    @property
    def over(self) -> bool:
        """Whether its asker does not wait any more."""
        return self.future is not None and self.future.done()

    def reply(self, value: Any) -> None:
        """Answer the asker, if there is one."""
        future = self.future
        if future is not None:
            token = self._token or self
            before, token.answered = token.answered, True
            if not future.try_set(value):
                token.answered = before

    def fail(self, error: BaseException) -> bool:
        """Tell the asker, if there is one, what went wrong; whether anybody learned of it."""
        if self.future is None or self.future.done():
            return False
        self.token.answered = True
        return self.future.try_set_exception(error)

    # -- the tree of asks -----------------------------------------------------------------------------------

    @property
    def has_asked(self) -> bool:
        """Whether any ask was sent for this message, be it by a job that stands in for this one."""
        return self.token._last is not None

    @property
    def open_asks(self) -> int:
        """Count the asks sent for this message that are not done."""
        return len(self.asks or ())

    def track(self, ask: Future[Any]) -> None:
        """Cancel an ask that was sent for this message when the message is no longer wanted."""
        self.keep(ask)
        ask.add_done_callback(self.spare)

    def keep(self, ask: Future[Any]) -> None:
        """Do as `track`, for who calls `spare` once the ask is done."""
        if self.asks is None:
            self.asks = {}
            # after its task: a coroutine is to see its own end, and not that of what it waits for
            self.token.on_cancel_last(self._cancel_asks)
        self.asks[ask] = None
        if (self._token or self)._cancelled:  # `_follow` has looked at the future
            ask.cancel()

    def spare(self, ask: Future[Any]) -> None:
        """Let an ask be: it is done, or shielded."""
        if self.asks is not None:
            self.asks.pop(ask, None)

    def _cancel_asks(self) -> None:
        for ask in list(self.asks or ()):
            ask.cancel()

    def check(self) -> None:
        """Raise `FutureCancelledError` if nobody wants the work any more."""
        if self.token.cancelled:
            raise FutureCancelledError("nobody wants the result of this any more")

    def gave_in(self, error: BaseException) -> bool:
        """Whether what a handler raised just says that nobody wants its work any more."""
        return self.token.cancelled and _only_gives_in(error)


def _only_gives_in(error: BaseException) -> bool:
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    if isinstance(error, BaseExceptionGroup):
        return all(_only_gives_in(each) for each in inner)
    return isinstance(error, GIVING_IN)


def job_of(item: Any) -> Job:
    """Make the job of what lay in a mailbox."""
    if item.__class__ is Ask:
        return Job(item.future, item=item, message=item.message)
    if item.__class__ is not Again:
        return Job(None, item=item, message=item)
    job = job_of(item.item)
    job.attempts = item.attempts
    return job


current_job: ContextVar[Job | None] = ContextVar("agentbus_current_job", default=None)
"""The message that the running code handles."""

shielded: ContextVar[bool] = ContextVar("agentbus_shielded", default=False)
"""Whether the running code is a step that runs to its end though its message is cancelled."""


@contextmanager
def shielding() -> Generator[None]:
    """Leave alone the asks that are sent within, whatever becomes of the message."""
    token = shielded.set(True)
    try:
        yield
    finally:
        shielded.reset(token)
