"""The name of a client over all of its connections, and the ids of its messages. `docs/protocol.md`."""

from __future__ import annotations

import itertools
from random import Random


class Producer:
    """128 random bits, drawn when they are needed first, and a counter.

    Args:
        random: where they come from.
    """

    __slots__ = ("_counter", "_drawn", "_name", "_random")

    def __init__(self, random: Random) -> None:
        self._random = random
        self._name: str | None = None
        self._drawn: dict[str, str] = {}  # one atomic step, from whatever thread
        self._counter = itertools.count(1)

    @property
    def name(self) -> str:
        """Nobody else's name."""
        if self._name is None:
            self._drawn.setdefault("name", f"{self._random.getrandbits(128):032x}")
            self._name = self._drawn["name"]
        return self._name

    def next_id(self) -> str:
        """Name the next message, from any thread."""
        return f"{self.name}-{next(self._counter)}"
