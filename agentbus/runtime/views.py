"""pykka's futures of futures: `map`, `filter`, `join`, `reduce`.

A view computes when it is asked, on the thread or loop that asks, as in pykka.
Cancelling it cancels its sources.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pykka

from agentbus.runtime.hook import GetHook

if TYPE_CHECKING:
    from agentbus.runtime.future import Future

T = TypeVar("T")
J = TypeVar("J")
M = TypeVar("M")
R = TypeVar("R")


class Viewable(pykka.Future[T]):
    """A future that others can be derived from."""

    @abstractmethod
    def _view(self, compute: GetHook, others: tuple[pykka.Future[Any], ...] = ()) -> Any:
        """Make the future that computes from this one and `others`."""

    def map(self, func: Callable[[T], M]) -> Future[M]:
        """Give a future of `func(value)`."""
        return cast("Future[M]", self._view(lambda timeout: func(self.get(timeout=timeout))))

    def filter(self: Viewable[Iterable[J]], func: Callable[[J], bool]) -> Future[Iterable[J]]:
        """Give a future of the list of those items for which `func(item)` is true."""
        view = self._view(lambda timeout: list(filter(func, self.get(timeout=timeout))))
        return cast("Future[Iterable[J]]", view)

    def join(self: Viewable[Any], *futures: pykka.Future[Any]) -> Future[Iterable[Any]]:
        """Give a future of the list of this value and those of `futures`, in order."""
        view = self._view(lambda timeout: [each.get(timeout=timeout) for each in (self, *futures)], futures)
        return cast("Future[Iterable[Any]]", view)

    def reduce(self: Viewable[Iterable[J]], func: Callable[[R, J], R], *args: R) -> Future[R]:
        """Give a future of the items folded from the left by `func(so_far, item)`; `args[0]` comes first."""
        view = self._view(lambda timeout: functools.reduce(func, self.get(timeout=timeout), *args))
        return cast("Future[R]", view)
