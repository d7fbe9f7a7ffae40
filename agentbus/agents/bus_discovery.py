"""What a bus knows of agents, here and elsewhere: who is there, how they are doing, and routes to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from typing import Any, Literal, overload

from agentbus.agents.address import Address
from agentbus.agents.bus_core import BusCore
from agentbus.agents.candidates import OneBy
from agentbus.agents.directory import MetadataValue
from agentbus.agents.finder import Finder, Sighting, Waiter
from agentbus.agents.node import NodeActor
from agentbus.agents.outcome import Outcome
from agentbus.agents.query import Query
from agentbus.agents.ref import AgentRef
from agentbus.agents.routing import Route, RouteToAll
from agentbus.agents.scope import current_scope
from agentbus.agents.status import AgentInfo
from agentbus.errors import BusClosedError, FutureCancelledError
from agentbus.runtime import Future

Metadata = Mapping[str, MetadataValue]

INTEREST_INTERVAL = 1.0
"""Seconds after which a program that goes on asking for statuses is worth another word to the node."""

MAX_REFS = 20_000
"""Refs that are kept to be given out again; at so many all are forgotten."""

_BY = ("round_robin", "sticky", "least_busy", "all")


class BusDiscovery(BusCore):
    """The part of a `Bus` that finds agents."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turns = count()
        self._refs: dict[Address, AgentRef] = {}
        self._interested_at = -INTEREST_INTERVAL

    # -- who is there ----------------------------------------------------------------------------------------

    def find(
        self, *, name: str | None = None, capability: str | None = None, metadata: Metadata | None = None
    ) -> list[AgentRef]:
        """Give the agents that fit, as known now, here and elsewhere; without arguments all.

        Those of suspect nodes come last; those of dead nodes are not there.

        Args:
            name: of the agents.
            capability: one that they have.
            metadata: facts that theirs holds among others.
        """
        addresses = self._finder().find(Query(name, capability, metadata or {}))
        return [self.ref_of(address) for address in addresses]

    def _finder(self) -> Finder:
        parts = self._node.parts
        membership = None if parts is None else parts.membership
        return Finder(self.namespace, self.node, self._house, membership)

    def wait_for(
        self,
        *,
        name: str | None = None,
        capability: str | None = None,
        metadata: Metadata | None = None,
        count: int = 1,
    ) -> Future[list[AgentRef]]:
        """Give the future of the moment when so many agents are known.

        Args:
            name: of the agents.
            capability: of the agents.
            metadata: facts that theirs holds among others.
            count: how many.

        Returns:
            The future of their refs; it waits for ever, so `.get(timeout=…)`, and `.cancel()` if nobody will
            look again. It fails with `BusClosedError`, and with `MailboxFullError` if 10 000 wait already.
        """
        return self._wait_for(Query(name, capability, metadata or {}), count)

    def _wait_for(self, query: Query, count: int) -> Future[list[AgentRef]]:
        refs: Future[list[AgentRef]] = Future(cancellable_by_waiter=True)
        found: Future[list[Address]] = Future()

        def deliver(done: Future[list[Address]]) -> None:
            error = FutureCancelledError() if done.cancelled() else done.exception()
            if error is None:
                refs.try_set([self.ref_of(address) for address in done.get()])
            else:
                refs.try_set_exception(error)

        found.add_done_callback(deliver)
        refs.add_done_callback(lambda _refs: found.cancel())
        try:
            self._node.tell(NodeActor.WaitFor(Waiter(query, count, found)))
        except BusClosedError as error:
            refs.set_exception(error)
        return refs

    # -- how they do -----------------------------------------------------------------------------------------

    def agents(
        self, *, name: str | None = None, capability: str | None = None, metadata: Metadata | None = None
    ) -> list[AgentInfo]:
        """Give the agents that fit with how they are doing: idle or busy, how many messages wait.

        For agents of this bus that is exact. Other nodes tell it to who asks: the first call gets
        `AgentStatus.UNKNOWN` for theirs, and calls in the next minute what they said in the last seconds.

        Args:
            name: see `find`.
            capability: see `find`.
            metadata: see `find`.
        """
        return [self._info(sighting) for sighting in self.look(Query(name, capability, metadata or {}))]

    def status(self, ref: AgentRef) -> AgentInfo | None:
        """Say how an agent is doing, as `agents` does; None if it is not known to be there."""
        fitting = self.look(Query(name=ref.name))
        return next((self._info(sighting) for sighting in fitting if sighting.address == ref.address), None)

    def look(self, query: Query) -> Iterator[Sighting]:
        """Give the agents that fit with how they are doing, and let other nodes know of the interest."""
        now = self.runtime.clock.monotonic()
        if self._node.begun and now - self._interested_at >= INTEREST_INTERVAL:
            self._interested_at = now
            with suppress(BusClosedError):
                self._node.tell(NodeActor.WantStatuses())
        return self._finder().look(query)

    def _info(self, sighting: Sighting) -> AgentInfo:
        address, entry, status, queued, node_state = sighting
        ref = self.ref_of(address)
        return AgentInfo(ref, entry.capabilities, entry.metadata, status, queued, node_state)

    # -- routes ----------------------------------------------------------------------------------------------

    @overload
    def route(
        self,
        *,
        name: str | None = None,
        capability: str | None = None,
        metadata: Metadata | None = None,
        by: OneBy = "round_robin",
        key: str | Callable[[Any], str] = "",
        wait_timeout: float = 0.0,
    ) -> Route: ...
    @overload
    def route(
        self,
        *,
        name: str | None = None,
        capability: str | None = None,
        metadata: Metadata | None = None,
        by: Literal["all"],
    ) -> RouteToAll: ...
    def route(
        self,
        *,
        name: str | None = None,
        capability: str | None = None,
        metadata: Metadata | None = None,
        by: OneBy | Literal["all"] = "round_robin",
        key: str | Callable[[Any], str] = "",
        wait_timeout: float = 0.0,
    ) -> Route | RouteToAll:
        """Give a route to the agents that fit, with `ask` and `tell`. Who they are is looked up per message.

        Agents that were asked to end get nothing more. Those of suspect nodes, and paused ones, get messages
        only where there are no others, or by "sticky" and "all".

        Args:
            name: see `find`.
            capability: see `find`.
            metadata: see `find`.
            by: "round_robin": each in turn; "least_busy": who has least to do, as far as that is known;
                "sticky": always the same for the same key, and when one dies only its keys move; "all": every
                one, which gives a list of futures.
            key: for "sticky": the key, or a function that gives it for a message.
            wait_timeout: seconds to wait for an agent where there is none; 0: fail at once.

        Raises:
            ValueError: arguments that do not go together.
        """
        if by not in _BY:
            raise ValueError(f"a route goes by one of {', '.join(_BY)}, not {by!r}")
        if by == "sticky" and not key:
            raise ValueError('by="sticky" needs key=: the key, or a function that gives it for a message')
        if key and by != "sticky":
            raise ValueError(f'key= goes with by="sticky", not with by="{by}"')
        if wait_timeout < 0 or (wait_timeout and by == "all"):
            raise ValueError('wait_timeout is seconds, and does not go with by="all": see wait_for(count=…)')
        query = Query(name, capability, metadata or {})
        return RouteToAll(self, query) if by == "all" else Route(self, query, by, key, wait_timeout)

    def now(self) -> float:
        """Give the time on the clock of deadlines."""
        return self._post.now()

    def next_turn(self) -> int:
        """Count the messages of all routes: so a route that is made for one message goes round, too."""
        return next(self._turns)

    def ref_of(self, address: Address) -> AgentRef:
        """Give the ref of an agent that was found; the same one each time, so that finding many makes few."""
        ref = self._refs.get(address)
        if ref is None:
            if len(self._refs) >= MAX_REFS:
                self._refs.clear()
            ref = self._refs[address] = AgentRef(self._post, address)
        return ref

    def appear(self, query: Query, timeout: float) -> Future[list[AgentRef]]:
        """Give the future of the moment when an agent that fits is known; it fails at the end of the time."""
        appeared = self._wait_for(query, 1).quiet()
        self._post.deadlines.add(appeared, self._post.now() + timeout)
        return appeared

    def refuse(self, query: Query, message: Any) -> Future[Outcome]:
        """Publish a told message that nobody is there for as a dead letter."""
        scope = current_scope.get()
        sender = None if scope is None else scope.agent.address
        self.dead_letters.bury(str(query), "no_such_agent", message, sender)
        return Future.completed(Outcome.DEAD_LETTERED)
