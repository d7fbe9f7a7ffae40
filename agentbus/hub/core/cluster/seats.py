"""Who is where at one other hub, as it told: exact after `End`, and what was not repeated by then is over."""

from __future__ import annotations

from collections.abc import Container
from typing import TypeAlias

Place: TypeAlias = tuple[str, str, str]
"""App, channel ("" for the app as a whole) and peer."""


class Seats:
    """Connections by place.

    Between `begin` and `end`, what was known before is kept aside until it is repeated.
    """

    __slots__ = ("_known", "_unconfirmed")

    def __init__(self) -> None:
        self._known: dict[Place, int] = {}
        self._unconfirmed: dict[Place, int] = {}

    def __len__(self) -> int:
        return len(self._known) + len(self._unconfirmed)

    def begin(self) -> None:
        """Expect all seats anew."""
        self._unconfirmed |= self._known
        self._known = {}

    def put(self, place: Place, connections: int) -> int:
        """Note how many connections are at a place; return how many there were."""
        before = self._unconfirmed.pop(place, 0) or self._known.get(place, 0)
        if connections:
            self._known[place] = connections
        else:
            self._known.pop(place, None)
        return before

    def end(self) -> dict[Place, int]:
        """Take out what was not repeated, with the connections that were there."""
        over, self._unconfirmed = self._unconfirmed, {}
        return over

    def keep_apps(self, apps: Container[str]) -> None:
        """Forget the seats of all other apps."""
        self._known = {place: count for place, count in self._known.items() if place[0] in apps}
        self._unconfirmed = {place: count for place, count in self._unconfirmed.items() if place[0] in apps}

    def clear(self) -> dict[Place, int]:
        """Take out everything."""
        self.begin()
        return self.end()
