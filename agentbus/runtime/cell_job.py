"""One message in the hands of a behaviour: who waits for it, and whether it is still wanted."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from agentbus.runtime.envelope import Again, Ask
from agentbus.runtime.future import Future


class CancelToken:
    """Tells a handler that its work is no longer wanted; a handler that never asks is not interrupted.

    It says so once its asker has cancelled, or once the agent is being stopped at once.
    """

    __slots__ = ("_callbacks", "_cancelled", "_future")

    def __init__(self, future: Future[Any] | None = None) -> None:
        self._future = future
        self._cancelled = False
        self._callbacks: list[Callable[[], object]] = []

    @property
    def cancelled(self) -> bool:
        """Whether the work is no longer wanted; from any thread."""
        return self._cancelled or (self._future is not None and self._future.cancelled())

    def on_cancel(self, fn: Callable[[], object]) -> None:
        """Call `fn` when the work is no longer wanted, on the thread that says so; at once if it is so."""
        self._callbacks.append(fn)
        if self._future is not None:
            self._future.on_cancel(self.cancel)
        if self._cancelled:
            self.cancel()

    def cancel(self) -> None:
        """Say that the work is no longer wanted; from any thread."""
        self._cancelled = True
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return
            callback()


class Job:
    """A message that is being handled.

    Attributes:
        item: as it lay in the mailbox.
        message: what was sent.
        future: who waits for the reply; None for a tell.
        attempts: how often its handling has failed before.
        token: whether it is still wanted.
    """

    __slots__ = ("attempts", "future", "item", "message", "token")

    def __init__(self, item: Any) -> None:
        self.attempts = 0
        if isinstance(item, Again):
            self.attempts = item.attempts
            item = item.item
        self.item = item
        self.message: Any = item
        self.future: Future[Any] | None = None
        if isinstance(item, Ask):
            self.message, self.future = item.message, item.future
        self.token = CancelToken(self.future)

    @property
    def over(self) -> bool:
        """Whether its asker does not wait any more."""
        return self.future is not None and self.future.done()

    def reply(self, value: Any) -> None:
        """Answer the asker, if there is one."""
        if self.future is not None:
            self.future.try_set(value)

    def fail(self, error: BaseException) -> bool:
        """Tell the asker, if there is one, what went wrong; whether anybody learned of it."""
        return self.future is not None and self.future.try_set_exception(error)


current_job: ContextVar[Job | None] = ContextVar("agentbus_current_job", default=None)
"""The message that the running code handles."""
