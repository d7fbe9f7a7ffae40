"""Where a queue keeps its jobs: the interface. The stores are beside it, one module each.

A store keeps numbered records, each a small head that is read when the queue is opened and a body that is
read when it is wanted, and named notes. It knows nothing of what they mean: what is in a head is the core's
business. It writes a batch of changes as a whole or not at all, and only for the owner of the last claim.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from agentbus.runtime import Future


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record.

    Attributes:
        number: ascending in the order in which jobs were put.
        head: what the core has to know of it.
    """

    number: int
    head: bytes


class Opened(msgspec.Struct, frozen=True):
    """What a store holds when it is claimed.

    Attributes:
        epoch: of the claim: one more than the last; writes of earlier claims are refused from now on.
        records: all heads, by ascending number.
        notes: all notes.
    """

    epoch: int
    records: list[Record]
    notes: dict[str, bytes]


class Batch(msgspec.Struct):
    """Changes that are made together, the last word for each number and name.

    Attributes:
        heads: the new head by number; of a record that is not there yet, its body is in `bodies` too.
        bodies: the new body by number, for those whose body changes.
        erased: numbers of records that go.
        notes: the new note by name; None for one that goes.
    """

    heads: dict[int, bytes] = msgspec.field(default_factory=dict[int, bytes])
    bodies: dict[int, bytes] = msgspec.field(default_factory=dict[int, bytes])
    erased: set[int] = msgspec.field(default_factory=set[int])
    notes: dict[str, bytes | None] = msgspec.field(default_factory=dict[str, "bytes | None"])

    def __bool__(self) -> bool:
        """Tell whether anything changes."""
        return bool(self.heads or self.bodies or self.erased or self.notes)

    def merge(self, later: Batch) -> None:
        """Take in the batch that follows, so that both are written together: its words are the last.

        For a host whose store could not write this one.
        """
        self.heads.update(later.heads)
        self.bodies.update(later.bodies)
        self.notes.update(later.notes)
        self.erased |= later.erased  # a number is never used again once it was erased
        for number in later.erased:
            self.heads.pop(number, None)
            self.bodies.pop(number, None)


class QueueStore(Protocol):
    """Keeps one queue. Safe from any thread; batches are written in the order in which they were given."""

    @property
    def text(self) -> str:
        """What it is, for people; no secrets."""
        ...

    def claim(self, owner: str) -> Future[str]:
        """Take the claim, and read nothing yet: `open` begins a new epoch, this does not.

        Args:
            owner: who claims it.

        Returns:
            The future of who had claimed it before and died without letting go of it; empty where nobody did,
            or where that can't be known. It fails as that of `open`.
        """
        ...

    def open(self, owner: str) -> Future[Opened]:
        """Claim the queue and read it.

        Args:
            owner: who claims it, for the error of the next who tries.

        Returns:
            The future of what is there. It fails with `QueueTakenError` while another live process holds the
            claim, and with `StoreError`.
        """
        ...

    def write(self, batch: Batch) -> Future[None]:
        """Make changes; the future is done once they are durable.

        It fails with `QueueFencedError` if somebody has claimed the queue since, and then nothing of it is
        written, nor of anything later; and with `StoreError` (a full disk): nothing of it is written, and a
        later batch may be.
        """
        ...

    def bodies(self, numbers: list[int]) -> Future[dict[int, bytes]]:
        """Read bodies; those of records that are gone are left out. It sees every batch given before."""
        ...

    def close(self) -> Future[None]:
        """Finish what was given, let go of the claim, of files and threads; idempotent."""
        ...
