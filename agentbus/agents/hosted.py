"""One agent of this node, or several under one name: where messages are put."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Protocol

from agentbus.agents.deadlock.chain import cycle_at
from agentbus.agents.deadlock.reentry import Reentry
from agentbus.agents.delivery import Delivery
from agentbus.agents.directory import AgentCondition, AgentEntry
from agentbus.agents.events import BusEvent
from agentbus.agents.handlers import HandlerTable
from agentbus.agents.headers import Waiting
from agentbus.agents.outcome import Outcome
from agentbus.agents.status import AgentStatus, status_of, status_of_all
from agentbus.errors import AgentStopped, MailboxFullError
from agentbus.runtime import Future
from agentbus.runtime.cell import CellRef
from agentbus.runtime.cell_events import CellState


class Listing(Protocol):
    """What the outside is told about the agents here; from any thread."""

    def listed(self, entry: AgentEntry) -> None:
        """An agent is there."""
        ...

    def unlisted(self, name: str) -> None:
        """An agent is gone."""
        ...

    def report(self, event: BusEvent) -> None:
        """Something happened to an agent."""
        ...

    def bury(self, delivery: Delivery, reason: str, error: BaseException | None = None) -> None:
        """A message was not handled."""
        ...

    def suspect(self, cycle: tuple[Waiting, ...], future: Future[Any]) -> None:
        """An ask has come back to an agent that may be waiting for its answer."""
        ...


class LocalAgent:
    """One agent of this node.

    Attributes:
        name: on the node.
        address: as text.
        entry: as the directory lists it.
        table: its handlers; None for a plain pykka actor.
        concurrency: messages that it handles at a time.
        reentrant: whether asks that come back to it while it waits are let in.
        ends_last: whether other agents of its bus may need it to their end.
        cell: its cell; set once it is started.
        blocks: whether messages wait for room in its mailbox, by its policy.
    """

    def __init__(
        self, name: str, address: str, entry: AgentEntry, table: HandlerTable | None, listing: Listing
    ) -> None:
        self.concurrency = 1
        self.reentrant = False
        self.ends_last = False
        self.name = name
        self.address = address
        self.entry = entry
        self.table = table
        self.cell: CellRef | None = None
        self.blocks = False
        self._listing = listing

    def belongs_to(self, listing: object) -> bool:
        """Whether this is an agent of that bus."""
        return self._listing is listing

    def pick(self) -> LocalAgent | None:
        """Give itself while it takes messages."""
        return self if self.cell is not None and self.cell.is_alive() else None

    @property
    def status(self) -> AgentStatus:
        """What it is about."""
        return status_of(self.cell)

    @property
    def queued(self) -> int:
        """How many messages wait for it."""
        return 0 if self.cell is None else self.cell.queue_length

    def tell(self, delivery: Delivery) -> None:
        """Put a message into the mailbox; what becomes of it is told through the delivery."""
        full = self._put(delivery)
        if full is not None:
            self.bury(delivery, "mailbox_full", full)

    def try_tell(self, delivery: Delivery) -> bool:
        """Put a message into the mailbox; False if that is full and its policy is to wait."""
        full = self._put(delivery)
        if full is not None:
            if self.blocks:
                return False
            self.bury(delivery, "mailbox_full", full)
        return True

    def _put(self, delivery: Delivery) -> MailboxFullError | None:
        try:
            (self.cell or self._started_cell()).tell(delivery)
        except AgentStopped as error:
            self.bury(delivery, "stopped", error)
        except MailboxFullError as error:
            return error
        return None

    def refuse_full(self, delivery: Delivery) -> None:
        """Refuse a message for which there is no room anywhere."""
        self.bury(delivery, "mailbox_full", MailboxFullError(self.queued))

    def when_room(self, callback: Callable[[], object]) -> bool:
        """Call back once the mailbox has room; see `CellRef.when_room`."""
        return self.cell is not None and self.cell.when_room(callback)

    def bury(self, delivery: Delivery, reason: str, error: Exception) -> None:
        """Publish a message that is not handled as a dead letter, and settle it."""
        self._listing.bury(delivery, reason, error)
        delivery.settle(Outcome.DEAD_LETTERED)

    def ask(self, delivery: Delivery, future: Future[Any] | None = None) -> Future[Any]:
        """Put a message into the mailbox.

        Args:
            delivery: the message.
            future: of the reply; a new one by default.

        Returns:
            The future of the reply.
        """
        cycle = self._cycle(delivery) if delivery.headers.chain else ()
        if not cycle:
            return (self.cell or self._started_cell()).ask(delivery, future)
        if self.reentrant and not self._starting:
            return self._let_in(Reentry(delivery, future))
        # who may be waited for here must not wait here
        future = self._started_cell().ask_now(delivery, future)
        self._listing.suspect(cycle, future)
        return future

    @property
    def _starting(self) -> bool:
        return self.cell is not None and self.cell.state is CellState.STARTING

    def _cycle(self, delivery: Delivery) -> tuple[Waiting, ...]:
        """Give what an ask may close; while it starts, one wait is enough, whatever its concurrency."""
        chain = delivery.headers.chain
        cycle = cycle_at(self.address, chain)
        if not cycle or self.concurrency == 1 or self._starting:
            return cycle
        return cycle_at(self.address, chain, concurrency=self.concurrency)

    def _let_in(self, entry: Reentry) -> Future[Any]:
        if not self._started_cell().tell_control(entry):
            entry.refused()
        return entry.future

    def _started_cell(self) -> CellRef:
        if self.cell is None:
            raise AgentStopped(f"{self.address} has not started yet")
        return self.cell

    def try_ask(self, delivery: Delivery) -> Future[Any] | None:
        """Put a message into the mailbox; None if that is full and its policy is to wait."""
        future = self.ask(delivery)
        full = self.blocks and future.done() and isinstance(future.exception(), MailboxFullError)
        return None if full and not self.comes_back(delivery) else future

    def comes_back(self, delivery: Delivery) -> bool:
        """Whether an ask may close a cycle here: what waits for its answer must not make it wait."""
        return bool(delivery.headers.chain and self._cycle(delivery))

    def stop(self, *, now: bool = False) -> Future[bool]:
        """Ask it to end."""
        return Future.completed(value=False) if self.cell is None else self.cell.stop(now=now)

    def ended(self) -> Future[bool]:
        """Give the future of its end."""
        return Future.completed(value=False) if self.cell is None else self.cell.ended()


class ReplicaGroup:
    """Agents of one class under one name; messages go round those that live.

    Attributes:
        name: on the node.
        entry: as the directory lists it.
        members: the replicas.
    """

    ends_last = False

    def __init__(self, name: str, address: str, entry: AgentEntry, members: Sequence[LocalAgent]) -> None:
        self.name = name
        self.address = address
        self.entry = entry
        self.members = members
        self._turns = count()

    @property
    def table(self) -> HandlerTable | None:
        """The handlers that all of them have."""
        return self.members[0].table

    def pick(self) -> LocalAgent | None:
        """Give the next one that takes messages."""
        start = next(self._turns)
        for turn in range(len(self.members)):
            member = self.members[(start + turn) % len(self.members)]
            if member.pick() is not None:
                return member
        return None

    @property
    def status(self) -> AgentStatus:
        """What the one of them is about who takes the next message soonest."""
        return status_of_all(member.status for member in self.members)

    @property
    def queued(self) -> int:
        """How many messages wait for them."""
        return sum(member.queued for member in self.members)

    def stop(self, *, now: bool = False) -> Future[bool]:
        """Ask all to end."""
        return all_of([member.stop(now=now) for member in self.members])

    def ended(self) -> Future[bool]:
        """Give the future of the end of the last one."""
        return all_of([member.ended() for member in self.members])


Hosted = LocalAgent | ReplicaGroup


def condition_of(hosted: Hosted) -> AgentCondition:
    """Say how an agent or a group is doing, for other nodes."""
    return AgentCondition(hosted.name, hosted.status.value, hosted.queued)


def all_of(futures: Sequence[Future[bool]]) -> Future[bool]:
    """Give the future of the moment when all are done: whether any gave True."""
    together: Future[bool] = Future()
    waiting = list(futures)

    def one_done(future: Future[bool]) -> None:
        waiting.remove(future)
        if not waiting:
            together.try_set(any(each.exception() is None and each.get() for each in futures))

    for future in futures:
        future.add_done_callback(one_done)
    return together
