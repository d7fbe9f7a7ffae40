"""Permits that hold up threads which send faster than others can take; loops are never held up.

There is no lock: a permit is an item of a deque, whose `append` and `pop` are atomic. Who finds none leaves
a wake-up and looks again; who gives one back calls the first wake-up. Whichever comes second sees what the
other did.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress

from agentbus.runtime import Future


class Permits:
    """So many at a time.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._free: deque[None] = deque([None] * count)
        self._waiting: deque[Future[None]] = deque()

    @property
    def unused(self) -> bool:
        """Whether nobody holds one."""
        return len(self._free) == self._count

    def take(self) -> None:
        """Take a permit; wait for one if there is none. On a thread that may wait."""
        while not self._try_take():
            wake_up: Future[None] = Future()
            self._waiting.append(wake_up)
            if self._try_take():
                self._withdraw(wake_up)
                return
            wake_up.get()

    def _try_take(self) -> bool:
        try:
            self._free.pop()
        except IndexError:
            return False
        return True

    def _withdraw(self, wake_up: Future[None]) -> None:
        try:
            self._waiting.remove(wake_up)
        except ValueError:
            self._wake_one()  # it was called for us: somebody else needs it now

    def give(self) -> None:
        """Give one back; from any thread."""
        self._free.append(None)
        self._wake_one()

    def _wake_one(self) -> None:
        with suppress(IndexError):
            self._waiting.popleft().try_set(None)
