"""Threads for tests: they end, and what they raise is raised."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds after which a thread of a test counts as stuck."""


class Running(Generic[T]):
    """A function at work in a daemon thread."""

    def __init__(self, fn: Callable[[], T]) -> None:
        self._fn = fn
        self._results: list[T] = []
        self._errors: list[BaseException] = []
        self.thread = threading.Thread(target=self._main, daemon=True)
        self.thread.start()

    def _main(self) -> None:
        try:
            self._results.append(self._fn())
        except BaseException as error:  # noqa: BLE001 -- raised again by result()
            self._errors.append(error)

    def result(self) -> T:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the thread is stuck"
        if self._errors:
            raise self._errors[0]
        return self._results[0]


def start(fn: Callable[[], T]) -> Running[T]:
    return Running(fn)


def run(fn: Callable[[], T]) -> T:
    return Running(fn).result()
