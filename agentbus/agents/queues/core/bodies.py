"""`RecentBodies`: bodies of jobs that were put lately, which need not be read from the store."""

from __future__ import annotations

CAP = 8 << 20
"""Bytes that are kept. A body that finds no room is left to the store: those before it are wanted first."""


class RecentBodies:
    """Bodies by number, up to so many bytes.

    Args:
        cap: bytes.
    """

    __slots__ = ("_bodies", "_cap", "_size")

    def __init__(self, cap: int = CAP) -> None:
        self._bodies: dict[int, bytes] = {}
        self._cap = cap
        self._size = 0

    def add(self, number: int, body: bytes) -> None:
        """Keep a body if there is room; an older one of that number goes."""
        self.drop(number)
        if self._size + len(body) <= self._cap:
            self._bodies[number] = body
            self._size += len(body)

    def get(self, number: int) -> bytes | None:
        """Give a body, if it is here."""
        return self._bodies.get(number)

    def drop(self, number: int) -> None:
        """Let go of a body."""
        body = self._bodies.pop(number, None)
        if body is not None:
            self._size -= len(body)
