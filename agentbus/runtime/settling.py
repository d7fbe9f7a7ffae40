"""How a future is settled and whom that wakes, without a lock.

A future's list of waiters starts with one token; who removes the token settles the future, and `list.remove`,
`append` and `pop` are atomic on every build of Python:

    resolver                                   waiter
    remove the token, or lose                  look at the state; settled: nothing to wait for
    store the result, then the state           append a wake-up
    pop and call what waits, until empty       look at the state again; settled: pop and call what waits

Whichever comes second sees what the other did, so that nobody waits for ever and each wake-up is called once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Self, TypeVar

from agentbus.runtime import forks
from agentbus.runtime.views import Viewable

T = TypeVar("T")

_TOKEN: Final = object()
_pending: int = -1 - forks.generation
"""The state of a pending future: it names the process generation that the future was made in."""

_log = logging.getLogger("agentbus.runtime")


def _enter_child() -> None:
    global _pending  # noqa: PLW0603 -- what pending futures of this process have in common
    _pending = -1 - forks.generation


forks.in_child(_enter_child)


class Settling(Viewable[T]):
    """A future's state, result and waiters."""

    _result: Any = None
    _cancellable_by_waiter = False

    def __init__(self, *, cancellable_by_waiter: bool = False) -> None:
        self._state: int = _pending
        self._waiters: list[Any] = [_TOKEN]
        if cancellable_by_waiter:
            self._cancellable_by_waiter = True

    def _resolve(self, state: int, result: Any) -> bool:
        if self._state != _pending:
            self._refuse_stale()
            return False
        waiters = self._waiters
        try:
            waiters.remove(_TOKEN)
        except ValueError:
            return False  # somebody else is about to
        self._result = result
        self._state = state
        if waiters:
            self._wake(waiters)
        return True

    def _refuse_stale(self) -> None:
        if self._state < 0 and self._state != _pending:
            raise forks.forked_error(self)

    def _add_waiter(self, wake: Callable[[Self], object]) -> None:
        if self._state != _pending:
            self._refuse_stale()
        waiters = self._waiters
        waiters.append(wake)
        if self._state >= 0:
            self._wake(waiters)

    def _remove_waiter(self, wake: object) -> None:
        try:
            self._waiters.remove(wake)
        except ValueError:
            return  # it is being called

    def _wake(self, waiters: list[Any]) -> None:
        while waiters:
            try:
                wake = waiters.pop(0)
            except IndexError:
                return
            try:
                wake(self)
            except BaseException as error:  # noqa: BLE001 -- see _called_in_vain
                self._called_in_vain(wake, error)

    def _call(self, fn: Callable[[Self], object]) -> None:
        try:
            fn(self)
        except BaseException as error:  # noqa: BLE001 -- see _called_in_vain
            self._called_in_vain(fn, error)

    def _called_in_vain(self, fn: object, error: BaseException) -> None:
        """Log a stranger's failure, SystemExit included: it harms nobody else."""
        if isinstance(error, KeyboardInterrupt):
            self._wake(self._waiters)
            raise error
        _log.error("a callback of a Future failed: %r", fn, exc_info=error)
