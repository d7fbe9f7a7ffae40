"""Amounts that several threads take from: together they never take more than there is."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import msgspec


class Shortage(msgspec.Struct, frozen=True):
    """What there was not enough of.

    Attributes:
        what: the name of the amount.
        wanted: how much.
        left: how much there is.
    """

    what: str
    wanted: int
    left: int


class Purse:
    """Named whole amounts, some of them without a limit. Safe from any thread.

    Args:
        amounts: what there is of each; None for no limit.
    """

    __slots__ = ("_amounts", "_closed", "_lock", "_taken")

    def __init__(self, amounts: Mapping[str, int | None]) -> None:
        self._amounts = dict(amounts)
        self._taken = dict.fromkeys(amounts, 0)
        self._closed = False
        self._lock = threading.Lock()

    def left(self) -> dict[str, int | None]:
        """Give what is left of each amount; None without a limit."""
        with self._lock:
            return {name: self._left(name) for name in self._amounts}

    def taken(self) -> dict[str, int]:
        """Give what was taken of each amount, and not given back."""
        with self._lock:
            return dict(self._taken)

    def _left(self, name: str) -> int | None:
        amount = self._amounts[name]
        if amount is None:
            return None
        return 0 if self._closed else amount - self._taken[name]

    def take(self, wanted: Mapping[str, int | None]) -> dict[str, int | None] | Shortage:
        """Take all of it or nothing.

        Args:
            wanted: how much of each, from 0; None for everything that is left, of which there must be some.

        Returns:
            What was taken of each: None for everything of what has no limit. Or what was missing.
        """
        with self._lock:
            left = {name: self._left(name) for name in wanted}
            for name, amount in wanted.items():
                there = left[name]
                least = 1 if amount is None else amount
                if there is not None and least > there:
                    return Shortage(name, least, there)
            taken = {name: left[name] if amount is None else amount for name, amount in wanted.items()}
            for name, amount in taken.items():
                self._taken[name] += amount or 0
            return taken

    def give(self, amounts: Mapping[str, int]) -> None:
        """Give back what was taken; a negative amount was taken meanwhile, of what has no limit."""
        with self._lock:
            if not self._closed:
                for name, amount in amounts.items():
                    self._taken[name] -= amount

    def close(self) -> dict[str, int]:
        """Let nothing be taken of what has a limit, or given back, from now on; gives what was taken."""
        with self._lock:
            self._closed = True
            return dict(self._taken)
