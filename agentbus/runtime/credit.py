"""Credit: how a consumer says how much it can take. Pure.

Both ends count chunks from the beginning. A grant says up to which number the producer may go, so that one
that comes late, twice or after a later one does no harm:

    producer   sent ≤ limit                        pauses at sent = limit
    consumer   received ≤ granted                  what waits, received - taken, is at most its capacity
               granted = taken + capacity          told again once half of it is used up

At least half of the capacity is always granted and not used when nothing waits, so the producer never pauses
while the consumer has nothing to take.
"""

from __future__ import annotations

MAX_CREDIT = 10_000
"""Chunks that a producer sends ahead at most, whatever it is granted."""


def check_credit(capacity: int) -> None:
    """Refuse a capacity that nobody can keep to.

    Raises:
        ValueError: it is not 1 to `MAX_CREDIT`.
    """
    if not 1 <= capacity <= MAX_CREDIT:
        raise ValueError(f"the credit of a stream is 1 to {MAX_CREDIT} chunks, not {capacity}")


class CreditSender:
    """The producer's count.

    Args:
        limit: the number up to which it may go.

    Attributes:
        limit: as granted so far.
        sent: chunks so far.
    """

    __slots__ = ("limit", "sent")

    def __init__(self, limit: int = 0) -> None:
        self.sent = 0
        self.limit = min(limit, MAX_CREDIT)

    @property
    def available(self) -> int:
        """Chunks that may be sent now."""
        return self.limit - self.sent

    def grant(self, limit: int) -> None:
        """Take a grant; a lower one than before, or one over `MAX_CREDIT` ahead, changes nothing more."""
        self.limit = max(self.limit, min(limit, self.sent + MAX_CREDIT))

    def spend(self) -> None:
        """Count a chunk that is sent.

        Raises:
            ValueError: there is no credit.
        """
        if self.sent >= self.limit:
            raise ValueError(f"no credit: {self.sent} chunks are sent and no more were granted")
        self.sent += 1


class CreditReceiver:
    """The consumer's count.

    Args:
        capacity: chunks that it lets wait, 1 to `MAX_CREDIT`.

    Attributes:
        capacity: see above.
        received: chunks so far.
        taken: chunks that were taken out so far.
        granted: what the producer was told last; 0 before `open`.

    Raises:
        ValueError: the capacity is out of range.
    """

    __slots__ = ("_step", "capacity", "granted", "received", "taken")

    def __init__(self, capacity: int) -> None:
        check_credit(capacity)
        self.capacity = capacity
        self.received = 0
        self.taken = 0
        self.granted = 0
        self._step = (capacity + 1) // 2

    def open(self) -> int | None:
        """Give the first grant, None if it was given already."""
        if self.granted:
            return None
        self.granted = self.capacity
        return self.granted

    def receive(self) -> bool:
        """Count a chunk that arrived; False if it was not granted, then it must not be kept."""
        if self.received >= self.granted:
            return False
        self.received += 1
        return True

    def take(self) -> int | None:
        """Count a chunk that was taken out; give the next grant when it is time to tell."""
        self.taken += 1
        limit = self.taken + self.capacity
        if limit - self.granted < self._step:
            return None
        self.granted = limit
        return limit
