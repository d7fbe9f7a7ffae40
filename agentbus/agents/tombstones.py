"""Cancels that came before what they cancel. Pure.

Each keeps one ask from starting, should that still come. Nodes and guests have a list each, so that no guest
makes room for itself among those of nodes, and each guest has a small part of theirs.
"""

from __future__ import annotations

from collections import OrderedDict

from agentbus.agents.envelope import Stamp

MAX_TOMBSTONES = 1024
"""Of nodes, and as many of guests; the oldest of the list is forgotten, and its ask would start after all."""

MAX_OF_ONE_GUEST = 64
"""Of one guest; its own oldest is forgotten."""

TOMBSTONE_SECONDS = 60.0
"""After so long a cancelled ask does not come any more: it was answered before."""

Buried = tuple[Stamp, str]
Yard = OrderedDict[Buried, float]


class Tombstones:
    """The cancels that wait for what they cancel."""

    def __init__(self) -> None:
        self._of_nodes: Yard = OrderedDict()
        self._of_guests: Yard = OrderedDict()
        self._guests: dict[str, Yard] = {}
        self._owners: dict[Buried, str] = {}

    def __len__(self) -> int:
        """Count them all."""
        return len(self._of_nodes) + len(self._of_guests)

    def bury(self, stamp: Stamp, number: str, guest: str | None, now: float) -> None:
        """Keep an ask from starting.

        Args:
            stamp: the asker's life.
            number: the id of the ask's envelope.
            guest: the asker's peer id if it is a guest.
            now: the time.
        """
        key, until = (stamp, number), now + TOMBSTONE_SECONDS
        self._remove(key)
        yard = self._of_nodes if guest is None else self._of_guests
        yard[key] = until
        if guest is not None:
            own = self._guests.setdefault(guest, OrderedDict())
            own[key] = until
            self._owners[key] = guest
            if len(own) > MAX_OF_ONE_GUEST:
                self._remove(next(iter(own)))
        if len(yard) > MAX_TOMBSTONES:
            self._remove(next(iter(yard)))

    def take(self, stamp: Stamp, number: str) -> bool:
        """Whether an ask was cancelled before it came; its tombstone is used up."""
        return self._remove((stamp, number))

    def _remove(self, key: Buried) -> bool:
        if self._of_nodes.pop(key, None) is not None:
            return True
        if self._of_guests.pop(key, None) is None:
            return False
        guest = self._owners.pop(key)
        own = self._guests[guest]
        del own[key]
        if not own:
            del self._guests[guest]
        return True

    def clear_old(self, now: float) -> None:
        """Forget those whose asks do not come any more."""
        for yard in (self._of_nodes, self._of_guests):
            while yard and next(iter(yard.values())) <= now:
                self._remove(next(iter(yard)))

    def forget(self, stamp: Stamp) -> None:
        """Forget those of a life that is over."""
        for yard in (self._of_nodes, self._of_guests):
            for key in [key for key in yard if key[0] == stamp]:
                self._remove(key)
