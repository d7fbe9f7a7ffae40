"""A queue's host that does what the test says: it leases what it was given, and notes what it is told."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any, ClassVar

import msgspec

from agentbus.agents.agent import AsyncAgentActor
from agentbus.agents.bus import Bus
from agentbus.agents.calls import type_and_version
from agentbus.agents.envelope import encode_body
from agentbus.agents.handlers import handles
from agentbus.agents.message import Message
from agentbus.agents.queues.core.job import Effect, LeasedJob
from agentbus.agents.queues.messages import (
    Attach,
    Attached,
    Leased,
    RecordEffect,
    Revoked,
    Settle,
    Settled,
    Settlement,
)
from agentbus.agents.ref import AgentRef
from agentbus.errors import LeaseLostError, StoreError

LEASE = 60.0


class Book:
    """What the host keeps; it outlives the agent, so that a successor can have it."""

    def __init__(self) -> None:
        self.waiting: list[LeasedJob] = []
        self.leased: dict[str, LeasedJob] = {}
        self.workers: dict[str, Attach] = {}
        self.attached: list[Attach] = []
        self.settled: list[Settlement] = []
        self.refused: list[Settlement] = []
        self.batches: list[int] = []
        self.effects: dict[str, list[Effect]] = {}
        self.refusals = 0
        self.numbers = 0
        self.news: SimpleQueue[Settlement] = SimpleQueue()

    def add(self, message: Message, **fields: Any) -> str:
        """Put a job; gives the token under which it is leased first."""
        self.numbers += 1
        name, version = type_and_version(message)
        token = f"token-{self.numbers}"
        known: dict[str, Any] = {
            "id": f"job-{self.numbers}",
            "attempt": 1,
            "key": f"key-{self.numbers}",
            "lease": LEASE,
        }
        self.waiting.append(
            LeasedJob(token=token, type=name, version=version, body=encode_body(message), **known | fields)
        )
        return token

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """Give what became of attempts, in the order in which that was said."""
        return [(each.token, each.outcome) for each in self.settled]

    def value(self, token: str) -> Any:
        """Give what a job has given."""
        (found,) = [each for each in self.settled if each.token == token]
        assert found.value is not None
        return msgspec.json.decode(found.value.body)


class FakeQueue(AsyncAgentActor):
    """Stands for a queue's host."""

    capabilities = ("agentbus.queue",)
    concurrency: ClassVar[int] = 100

    def __init__(self, book: Book, epoch: int = 1) -> None:
        self.book = book
        self.epoch = epoch

    @handles
    def attach(self, message: Attach) -> Attached:
        book = self.book
        book.attached.append(message)
        book.workers[message.worker] = message
        lost = tuple(
            token for token in message.holding if token not in book.leased and not _known(book, token)
        )
        self.lease_out(message.worker)
        return Attached(self.epoch, LEASE, lost)

    def lease_out(self, worker: str) -> None:
        book, attach = self.book, self.book.workers[worker]
        free = attach.capacity - len(book.leased)
        jobs, book.waiting = book.waiting[: max(0, free)], book.waiting[max(0, free) :]
        if jobs:
            book.leased.update({job.token: job for job in jobs})
            self.bus.ref(worker).tell(Leased(attach.session, self.epoch, tuple(jobs)))

    @handles(raises=(StoreError,))
    def settle(self, message: Settle) -> Settled:
        book = self.book
        if book.refusals:
            book.refusals -= 1
            raise StoreError("the disk is full")
        book.batches.append(len(message.settlements))
        refused: list[str] = []
        for settlement in message.settlements:
            if book.leased.pop(settlement.token, None) is None:
                if not _known(book, settlement.token):
                    refused.append(settlement.token)
                    book.refused.append(settlement)
            else:
                book.settled.append(settlement)
                book.news.put(settlement)
        for worker in book.workers:
            self.lease_out(worker)
        return Settled(tuple(refused))

    @handles(raises=(LeaseLostError,))
    def record(self, message: RecordEffect) -> None:
        if message.token not in self.book.leased:
            raise LeaseLostError("q", "a job")
        self.book.effects.setdefault(message.token, []).append(message.effect)

    def on_control(self, message: Any) -> None:
        """Be told by the test to look at the book again, or to revoke a token."""
        if isinstance(message, str):
            self.book.leased.pop(message, None)
        for worker, attach in self.book.workers.items():
            if isinstance(message, str):
                self.bus.ref(worker).tell(Revoked(attach.session, (message,)))
            self.lease_out(worker)


def _known(book: Book, token: str) -> bool:
    return any(each.token == token for each in book.settled)


def host(bus: Bus, book: Book, *, epoch: int = 1, queue: str = "q") -> AgentRef:
    """Start a host."""
    metadata = {"queue": queue, "epoch": epoch}
    return bus.spawn(FakeQueue, book, epoch, name=f"queue.{queue}", metadata=metadata)
