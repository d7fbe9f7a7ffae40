"""Messages for nodes that are not known yet, and may be about to introduce themselves. Pure."""

from __future__ import annotations

from agentbus.agents.calls import Parcel

MAX_LIMBO = 10_000


class Limbo:
    """What waits for the directory, in order.

    Args:
        capacity: messages.
    """

    def __init__(self, capacity: int = MAX_LIMBO) -> None:
        self.capacity = capacity
        self._parcels: list[Parcel] = []

    def __len__(self) -> int:
        """Count the messages that wait."""
        return len(self._parcels)

    def put(self, parcel: Parcel) -> bool:
        """Keep a message; False if there is no room."""
        if len(self._parcels) >= self.capacity:
            return False
        self._parcels.append(parcel)
        return True

    def take(self) -> list[Parcel]:
        """Remove and give all."""
        parcels, self._parcels = self._parcels, []
        return parcels

    def take_late(self, now: float) -> list[Parcel]:
        """Remove and give those whose deadline has passed."""
        late = [parcel for parcel in self._parcels if _is_late(parcel, now)]
        if late:
            self._parcels = [parcel for parcel in self._parcels if not _is_late(parcel, now)]
        return late

    def next_deadline(self) -> float | None:
        """When the earliest deadline passes."""
        times = [deadline for parcel in self._parcels if (deadline := parcel.headers.deadline) is not None]
        return min(times, default=None)


def _is_late(parcel: Parcel, now: float) -> bool:
    deadline = parcel.headers.deadline
    return deadline is not None and deadline <= now
