"""Who is there: the agents of this node and those that others have announced. Readable from any thread."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from agentbus.agents.address import Address
from agentbus.agents.hosting import House
from agentbus.agents.membership import Membership
from agentbus.runtime import Future


class Finder:
    """Finds agents by name and capability.

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

    def find(self, name: str | None, capability: str | None) -> list[Address]:
        """Give the agents of a name, of a capability, of both, or all; those of suspect nodes last.

        A guest is shown what it may ask: public agents.
        """
        here = [
            Address(self._namespace, self._node, hosted.name) for hosted in self._house.find(name, capability)
        ]
        if self._membership is None:
            return here
        guest = self._membership.guest
        known = self._membership.nodes.find(name, capability)
        there = [
            Address(self._namespace, record.stamp.node, entry.name)
            for record, entry in known
            if record.stamp.node != self._node and (entry.public or not guest)
        ]
        return here + there


class Waiter(msgspec.Struct, frozen=True):
    """Somebody who waits for agents to be there.

    Attributes:
        name: of the agents, or None.
        capability: of the agents, or None.
        count: how many.
        future: of their addresses.
    """

    name: str | None
    capability: str | None
    count: int
    future: Future[list[Address]]


class Waiters:
    """Those who wait. On the I/O loop.

    Args:
        find: gives the agents that are there.
    """

    def __init__(self, find: Callable[[str | None, str | None], list[Address]]) -> None:
        self._find = find
        self._waiting: list[Waiter] = []

    def add(self, waiter: Waiter) -> None:
        """Tell somebody once enough agents are there."""
        self._waiting.append(waiter)
        self.look()

    def look(self) -> None:
        """Tell those whose agents are there; forget those who gave up."""
        waiting: list[Waiter] = []
        for waiter in self._waiting:
            found = self._find(waiter.name, waiter.capability)
            if len(found) >= waiter.count:
                waiter.future.try_set(found)
            elif not waiter.future.done():
                waiting.append(waiter)
        self._waiting = waiting

    def close(self, error: Exception) -> None:
        """Fail all."""
        for waiter in self._waiting:
            waiter.future.try_set_exception(error)
        self._waiting.clear()
