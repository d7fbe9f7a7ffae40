"""How many bad credentials one address may show to the control plane. Times are monotonic seconds."""

from __future__ import annotations

from collections import deque

WINDOW = 60.0
MAX_ADDRESSES = 10_000


class Attempts:
    """Bad credentials of the last 60 s, by address; from the limit on, nothing more is looked at.

    So whoever guesses gets `allowed` guesses a minute, and a flood of them costs a look-up each. Remembers at
    most `max_addresses`, and forgets the one whose first attempt is oldest.

    Args:
        allowed: bad credentials of one address within 60 s; 0 turns it off.
        max_addresses: addresses that are remembered.
    """

    __slots__ = ("_max_addresses", "_times", "allowed")

    def __init__(self, allowed: int, max_addresses: int = MAX_ADDRESSES) -> None:
        self.allowed = allowed
        self._max_addresses = max_addresses
        self._times: dict[str, deque[float]] = {}

    def __len__(self) -> int:
        return len(self._times)

    def wait(self, address: str, now: float) -> float | None:
        """Return the seconds until this address is heard again; None where it is heard."""
        times = self._times.get(address)
        if times is None or not self.allowed:
            return None
        while times and now - times[0] >= WINDOW:
            times.popleft()
        if not times:
            del self._times[address]
        return times[0] + WINDOW - now if len(times) >= self.allowed else None

    def count(self, address: str, now: float) -> bool:
        """Count a bad credential; True where it was the last one for now."""
        if not self.allowed:
            return False
        times = self._times.get(address)
        if times is None:
            if len(self._times) >= self._max_addresses:
                del self._times[next(iter(self._times))]
            times = self._times[address] = deque()
        times.append(now)
        return len(times) >= self.allowed
