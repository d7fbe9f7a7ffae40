"""Room on a node that its peers share: nodes all of it, guests a part, one guest a part of that. Pure."""

from __future__ import annotations

GUESTS_PART = 4
"""Guests together have one of so many parts of what is shared."""

ONE_GUESTS_PART = 10
"""One guest has one of so many parts of what guests have."""


class Shares:
    """Counts who has how much of a room with so many places.

    Args:
        capacity: places in all.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.for_guests = max(1, capacity // GUESTS_PART)
        self.for_one_guest = max(1, self.for_guests // ONE_GUESTS_PART)
        self._taken = 0
        self._of_guests = 0
        self._guests: dict[str, int] = {}

    def __len__(self) -> int:
        """Count the places that are taken."""
        return self._taken

    def limit(self, guest: str | None) -> int:
        """Give how many places a peer can have at most.

        Args:
            guest: its peer id; None for a node.
        """
        return self.capacity if guest is None else self.for_one_guest

    def take(self, guest: str | None) -> bool:
        """Take a place; False if there is none for that peer.

        Args:
            guest: see `limit`.
        """
        if self._taken >= self.capacity:
            return False
        if guest is not None:
            taken = self._guests.get(guest, 0)
            if taken >= self.for_one_guest or self._of_guests >= self.for_guests:
                return False
            self._guests[guest] = taken + 1
            self._of_guests += 1
        self._taken += 1
        return True

    def give_back(self, guest: str | None) -> None:
        """Give back a place; under the same peer id under which it was taken.

        Args:
            guest: see `limit`.
        """
        self._taken -= 1
        if guest is not None:
            self._of_guests -= 1
            left = self._guests.pop(guest) - 1
            if left:
                self._guests[guest] = left
