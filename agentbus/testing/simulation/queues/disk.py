"""A disk that outlives those who write on it: what was reported durable, and what a crash made of the rest.

It is the witness of a run, too: it keeps every change with its time, in the order in which they became true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from agentbus.agents.queues.core.record import LIVE, Job, decode_head
from agentbus.agents.queues.core.schedules import SCHEDULE_NOTE
from agentbus.agents.queues.stores.store import Batch, Opened, Record
from agentbus.errors import QueueFencedError, QueueTakenError, StoreError
from agentbus.runtime import Future, VirtualLoop
from agentbus.testing.simulation.process import ProcessLoop

WRITE_DELAYS: Final = (0.0, 0.001, 0.005, 0.02, 0.3)
"""Seconds that a write takes."""


@dataclass(frozen=True)
class Written:
    """A batch that became durable.

    Attributes:
        at: virtual time.
        epoch: of the claim that wrote it.
        jobs: the records as they are since then, by number.
        bodies: those that changed.
        erased: numbers of records that went.
        notes: those that changed; None for one that went.
    """

    at: float
    epoch: int
    jobs: dict[int, Job]
    bodies: dict[int, bytes]
    erased: frozenset[int]
    notes: dict[str, bytes | None]


@dataclass(frozen=True)
class Claim:
    """Somebody became the only one who writes. Attributes: virtual time; the epoch; the node."""

    at: float
    epoch: int
    node: str


class Disk:
    """Where the hosts of one queue keep it, one after the other.

    Args:
        queue: its name.
        host: the world's loop.
        random: draws how long writes take, and which of them survive a crash.
        locks: whether a claim is held by a lock of the operating system, which ends with its process; if not,
            whoever opens it last has it.
        note: writes a line of the trace.

    Attributes:
        log: what became durable, in order.
        claims: in order.
        full: whether nothing can be written.
    """

    def __init__(
        self, queue: str, host: VirtualLoop, random: Random, *, locks: bool, note: Callable[[str], object]
    ) -> None:
        self.queue = queue
        self.log: list[Written] = []
        self.claims: list[Claim] = []
        self.full = False
        self.heads: dict[int, bytes] = {}
        self.bodies: dict[int, bytes] = {}
        self.epoch = 0
        self.host = host
        self.random = random
        self.note = note
        self._notes: dict[str, bytes] = {}
        self._locks = locks
        self._holder: DiskStore | None = None

    def at_rest(self) -> bool:
        """Tell whether all jobs that it has are over, and no schedule puts more."""
        live = any(decode_head(head).state in LIVE for head in self.heads.values())
        return not live and not any(name.startswith(SCHEDULE_NOTE) for name in self._notes)

    def store(self, process: ProcessLoop, node: str) -> DiskStore:
        """Give a process of a node the way to it."""
        return DiskStore(self, process, node)

    def claim(self, store: DiskStore, owner: str) -> Opened:
        """Let somebody be the only one who writes.

        Raises:
            QueueTakenError: a process that lives holds the lock.
        """
        holder = self._holder
        if holder is not None and holder is not store:
            holder.settle_if_dead()
            if self._locks and holder.open_still:
                raise QueueTakenError(self.queue, holder.owner)
        self._holder = store
        self.epoch += 1
        self.claims.append(Claim(self.host.time(), self.epoch, store.node))
        self.note(f"is claimed by {owner}, epoch {self.epoch}")
        records = [Record(number, head) for number, head in sorted(self.heads.items())]
        return Opened(self.epoch, records, dict(self._notes))

    def died_with(self, store: DiskStore) -> str:
        """Give who died with the lock; empty if nobody did, or there are no locks.

        Raises:
            QueueTakenError: a process that lives holds it.
        """
        holder = self._holder
        if holder is None or holder is store or not self._locks:
            return ""
        if holder.open_still:
            raise QueueTakenError(self.queue, holder.owner)
        return "" if holder.closed else holder.owner

    def apply(self, batch: Batch, epoch: int) -> None:
        """Make a batch durable."""
        self.heads.update(batch.heads)
        self.bodies.update(batch.bodies)
        for number in batch.erased:
            self.heads.pop(number, None)
            self.bodies.pop(number, None)
        for name, value in batch.notes.items():
            if value is None:
                self._notes.pop(name, None)
            else:
                self._notes[name] = value
        jobs = {number: decode_head(head) for number, head in batch.heads.items()}
        written = Written(
            self.host.time(), epoch, jobs, dict(batch.bodies), frozenset(batch.erased), dict(batch.notes)
        )
        self.log.append(written)


class DiskStore:
    """A disk as one process has it open: a `QueueStore`.

    Args:
        disk: which.
        process: whose.
        node: on which node that is.

    Attributes:
        owner: who has claimed it.
        node: see above.
    """

    text = "disk://"

    def __init__(self, disk: Disk, process: ProcessLoop, node: str) -> None:
        self.owner = ""
        self.node = node
        self._disk = disk
        self._process = process
        self._epoch = 0
        self._closed = False
        self._free_at = 0.0
        self._under_way: list[tuple[Batch, int]] = []

    @property
    def open_still(self) -> bool:
        """Whether its process has it open."""
        return self._epoch > 0 and not self._closed and not self._process.killed

    def claim(self, owner: str) -> Future[str]:
        """See `QueueStore.claim`; the lock itself is taken by `open`, which looks again."""
        del owner
        try:
            return Future.completed(self._disk.died_with(self))
        except QueueTakenError as error:
            return Future.failed(error)

    @property
    def closed(self) -> bool:
        """Whether it was closed in good order."""
        return self._closed

    def open(self, owner: str) -> Future[Opened]:
        """See `QueueStore.open`."""
        if self._closed:
            return Future.failed(StoreError("it is closed"))
        try:
            opened = self._disk.claim(self, owner)
        except QueueTakenError as error:
            return Future.failed(error)
        self.owner, self._epoch = owner, opened.epoch
        return Future.completed(opened)

    def write(self, batch: Batch) -> Future[None]:
        """See `QueueStore.write`."""
        if self._closed:
            return Future.failed(StoreError("it is closed"))
        done: Future[None] = Future()
        copy = Batch(dict(batch.heads), dict(batch.bodies), set(batch.erased), dict(batch.notes))
        self._under_way.append((copy, self._epoch))
        disk = self._disk
        self._free_at = max(self._free_at, disk.host.time()) + disk.random.choice(WRITE_DELAYS)
        disk.host.call_at(self._free_at, self._written, done)
        return done

    def _written(self, done: Future[None]) -> None:
        if self._process.killed:
            self.settle_if_dead()
            return
        batch, epoch = self._under_way.pop(0)
        error = self._problem(epoch)
        if error is None:
            self._disk.apply(batch, epoch)
            self._process.call_soon(done.set, None)
        else:
            self._process.call_soon(done.set_exception, error)

    def _problem(self, epoch: int) -> Exception | None:
        if epoch != self._disk.epoch:
            return QueueFencedError(self._disk.queue, epoch)
        return StoreError("no space is left on it") if self._disk.full else None

    def settle_if_dead(self) -> None:
        """Decide what a killed process has left half-written: its first so many batches are there."""
        if not self._process.killed or not self._under_way:
            return
        left, self._under_way = self._under_way, []
        kept = self._disk.random.randint(0, len(left))
        for batch, epoch in left[:kept]:
            if self._problem(epoch) is None:
                self._disk.apply(batch, epoch)
        self._disk.note(f"keeps {kept} of {len(left)} batches of a crash")

    def bodies(self, numbers: list[int]) -> Future[dict[int, bytes]]:
        """See `QueueStore.bodies`."""
        pending = {number: body for batch, _ in self._under_way for number, body in batch.bodies.items()}
        known: dict[int, Any] = {**self._disk.bodies, **pending}
        return Future.completed({number: known[number] for number in numbers if number in known})

    def close(self) -> Future[None]:
        """See `QueueStore.close`."""
        self._closed = True
        return Future.completed(None)
