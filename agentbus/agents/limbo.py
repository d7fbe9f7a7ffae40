"""Messages for nodes that are not known yet, and may be about to introduce themselves. Pure."""

from __future__ import annotations

from agentbus.agents.calls import Parcel

MAX_LIMBO = 10_000
LIMBO_INTERVAL = 0.25
"""Seconds between two looks at what waits."""


class Limbo:
    """What waits for the directory, in order.

    Args:
        capacity: messages.
    """

    def __init__(self, capacity: int = MAX_LIMBO) -> None:
        self.capacity = capacity
        self._parcels: list[Parcel] = []
        self._sweep_at = 0.0

    def __len__(self) -> int:
        """Count the messages that wait."""
        return len(self._parcels)

    def put(self, parcel: Parcel, now: float) -> bool:
        """Keep a message; False if there is no room."""
        if len(self._parcels) >= self.capacity and not self._make_room(now):
            return False
        self._parcels.append(parcel)
        return True

    def _make_room(self, now: float) -> bool:
        """Let go of what nobody wants any more, once in a while; whether that helped."""
        if now < self._sweep_at:
            return False
        self._sweep_at = now + LIMBO_INTERVAL
        parcels, self._parcels = self._parcels, []
        for parcel in parcels:
            if parcel.call is not None and parcel.call.over:
                parcel.call.withdrawn()
            else:
                self._parcels.append(parcel)
        return len(self._parcels) < self.capacity

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
