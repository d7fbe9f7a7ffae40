"""Who is there: the agents of this node and those that others have announced. Readable from any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from agentbus.agents.address import Address
from agentbus.agents.directory import AgentEntry
from agentbus.agents.hosting import House
from agentbus.agents.index import Place
from agentbus.agents.membership import Membership
from agentbus.agents.nodes import NodeState
from agentbus.agents.query import Query
from agentbus.agents.status import AgentStatus, read_status
from agentbus.errors import MailboxFullError
from agentbus.runtime import Future


class Sighting(NamedTuple):
    """An agent as it is known at this moment.

    Attributes:
        address: for messages.
        entry: as its node lists it.
        status: of one elsewhere as its node said last.
        queued: messages that wait for it.
        node_state: whether its node is reached now.
    """

    address: Address
    entry: AgentEntry
    status: AgentStatus
    queued: int
    node_state: NodeState


class Finder:
    """Finds agents.

    Args:
        namespace: of this bus.
        node: its id.
        house: its agents.
        membership: knows the others, once there is one; the I/O loop changes its table while others read it.
    """

    def __init__(self, namespace: str, node: str, house: House, membership: Membership | None) -> None:
        self._namespace = namespace
        self._node = node
        self._house = house
        self._membership = membership

    def find(self, query: Query) -> list[Address]:
        """Give the agents that fit, those here first and those of suspect nodes last.

        A guest is shown what it may ask: public agents.
        """
        here = [self._here(hosted.name) for hosted in self._house.find(query)]
        return here + [place.address for place in self._there(query)]

    def look(self, query: Query) -> Iterator[Sighting]:
        """Give the agents that fit, in the order of `find`, with how they are doing."""
        for hosted in self._house.find(query):
            address = self._here(hosted.name)
            yield Sighting(address, hosted.entry, hosted.status, hosted.queued, NodeState.ALIVE)
        for record, entry, address in self._there(query):
            condition = record.conditions.get(entry.name)
            if condition is None:
                yield Sighting(address, entry, AgentStatus.UNKNOWN, 0, record.state)
            else:
                status = read_status(condition.status)
                yield Sighting(address, entry, status, condition.queued, record.state)

    def _here(self, name: str) -> Address:
        return Address(self._namespace, self._node, name)

    def _there(self, query: Query) -> list[Place]:
        if self._membership is None:
            return []
        guest, node = self._membership.guest, self._node
        return [
            place
            for place in self._membership.nodes.find(query)
            if place.address.node != node and (place.entry.public or not guest)
        ]


MAX_WAITERS = 10_000
"""Waits for agents that may be open at a time on one bus; one more fails with `MailboxFullError`."""


class Waiter(msgspec.Struct, frozen=True, eq=False):
    """Somebody who waits for agents to be there.

    Attributes:
        query: which.
        count: how many.
        future: of their addresses.
    """

    query: Query
    count: int
    future: Future[list[Address]]


class Waiters:
    """Those who wait. On the I/O loop.

    Args:
        find: gives the agents that are there.
        on_loop: calls a function on the I/O loop, from any thread.
    """

    def __init__(self, find: Callable[[Query], list[Address]], on_loop: Callable[..., object]) -> None:
        self._find = find
        self._on_loop = on_loop
        self._waiting: dict[Waiter, None] = {}
        self._closed_with: Exception | None = None

    @property
    def waiting(self) -> int:
        """Count those who wait."""
        return len(self._waiting)

    def add(self, waiter: Waiter) -> None:
        """Tell somebody once enough agents are there; who cancels the future is forgotten.

        One who comes after the end fails at once.
        """
        if self._closed_with is not None:
            waiter.future.try_set_exception(self._closed_with)
            return
        if self._told(waiter):
            return
        if len(self._waiting) >= MAX_WAITERS:
            waiter.future.try_set_exception(MailboxFullError(MAX_WAITERS))
            return
        self._waiting[waiter] = None
        waiter.future.add_done_callback(lambda _future: self._on_loop(self._waiting.pop, waiter, None))

    def look(self) -> None:
        """Tell those whose agents are there."""
        for waiter in [waiter for waiter in self._waiting if self._told(waiter)]:
            self._waiting.pop(waiter, None)

    def _told(self, waiter: Waiter) -> bool:
        if waiter.future.done():
            return True
        found = self._find(waiter.query)
        if len(found) < waiter.count:
            return False
        waiter.future.try_set(found)
        return True

    def close(self, error: Exception) -> None:
        """Fail all, now and later."""
        self._closed_with = error
        for waiter in list(self._waiting):
            waiter.future.try_set_exception(error)
        self._waiting.clear()
