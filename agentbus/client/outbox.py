"""Frames that wait until a congested connection takes bytes again: bounded, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Container


class Outbox:
    """Hold frames back while the transport says so.

    A request that ran out of time takes its frame with it: nobody would hear of the answer.

    Args:
        max_bytes: how much may wait. A frame that finds the outbox empty is always taken.
    """

    __slots__ = ("_bytes", "_frames", "_max_bytes", "held")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._frames: deque[tuple[bytes | None, bytes]] = deque()
        self._bytes = 0
        self.held = False

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def unsent_bytes(self) -> int:
        """How much waits."""
        return self._bytes

    def has_room(self, size: int) -> bool:
        """Whether a frame of `size` bytes may wait."""
        return not self._frames or self._bytes + size <= self._max_bytes

    def put(self, tail: bytes | None, frame: bytes) -> None:
        """Add a frame at the end; `None` for one that asks for no answer, and is always wanted."""
        self._frames.append((tail, frame))
        self._bytes += len(frame)

    def take(self, wanted: Container[bytes]) -> bytes | None:
        """Remove and return the first frame whose request is still wanted; None if there is none."""
        while self._frames:
            tail, frame = self._frames.popleft()
            self._bytes -= len(frame)
            if tail is None or tail in wanted:
                return frame
        return None

    def unsent(self) -> frozenset[bytes]:
        """Return the tails of the requests whose frames never left."""
        return frozenset(tail for tail, _ in self._frames if tail is not None)
