"""Messages from other nodes for agents whose mailbox is full and whose policy is to wait. On the I/O loop.

A link is shared by all agents of two nodes, so nothing may wait *on* it. What has arrived for a full agent is
parked beside its mailbox, in order, and the nodes that sent it are told to hold back more for that agent
(`Kind.HOLD`) until it has room again (`Kind.RELEASE`). Since acks travel no faster than that word, a node
that obeys has at most one window of its link parked here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from agentbus.agents.envelope import Kind, Stamp
from agentbus.agents.shares import GUESTS_PART

VISIT_BYTES = 500
"""What a parked message takes beside its body."""


class FullAgent(Protocol):
    """An agent whose mailbox may be full."""

    def when_room(self, callback: Callable[[], object]) -> bool:
        """Call back, from any thread, once there is room or nobody to wait for; False if that is now."""
        ...


class Visit(msgspec.Struct, frozen=True):
    """One message that may have to wait.

    Attributes:
        stamp: the node that it came from.
        name: whom that node knows as the recipient.
        size: bytes of its body.
        enter: puts it into the mailbox; False if that is full.
        guest: whether a guest sent it.
    """

    stamp: Stamp
    name: str
    size: int
    enter: Callable[[], bool]
    guest: bool = False


class Parking:
    """What waits for room in the mailboxes of this node.

    Args:
        notify: tells a node to hold back, or to go on.
        on_loop: calls a function on the I/O loop, from any thread.
        capacity: messages of one node that may wait for one agent.
        capacity_bytes: bytes that may wait in all; beyond either, `put` refuses.
        is_guest: whether a life is of no node: all such together have a quarter of the bytes.
    """

    def __init__(
        self,
        notify: Callable[[Stamp, Kind, str], object],
        on_loop: Callable[..., object],
        *,
        capacity: int,
        capacity_bytes: int,
        is_guest: Callable[[Stamp], bool] = lambda _stamp: False,
    ) -> None:
        self._notify = notify
        self._on_loop = on_loop
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._is_guest = is_guest
        self._guests_bytes = 0
        self._queues: dict[Any, deque[Visit]] = {}
        self._counts: dict[tuple[Any, Stamp], int] = {}
        self._full: dict[str, dict[Any, None]] = {}
        self._told: dict[str, dict[Stamp, None]] = {}
        self.bytes = 0

    def __len__(self) -> int:
        """Count the messages that wait."""
        return sum(map(len, self._queues.values()))

    def __contains__(self, agent: object) -> bool:
        """Whether messages wait for an agent: later ones must not overtake them."""
        return agent in self._queues

    # -- in --------------------------------------------------------------------------------------------------

    def put(self, agent: FullAgent, visit: Visit) -> bool:
        """Keep a message that found the mailbox full, or others before it; False if too much waits."""
        size = visit.size + VISIT_BYTES
        count = self._counts.get((agent, visit.stamp), 0)
        if count >= self._capacity or self.bytes + size > self._capacity_bytes:
            return False
        if self._is_guest(visit.stamp):
            if self._guests_bytes + size > self._capacity_bytes // GUESTS_PART:
                return False
            visit = msgspec.structs.replace(visit, guest=True)
            self._guests_bytes += size
        self._counts[agent, visit.stamp] = count + 1
        self.bytes += size
        queue = self._queues.get(agent)
        if queue is None:
            queue = self._queues[agent] = deque()
            self._wait(agent)
        queue.append(visit)
        self._full.setdefault(visit.name, {})[agent] = None
        told = self._told.setdefault(visit.name, {})
        if visit.stamp not in told:
            told[visit.stamp] = None
            self._notify(visit.stamp, Kind.HOLD, visit.name)
        return True

    def node_dead(self, stamp: Stamp) -> None:
        """Forget whom to tell; what came from there stays."""
        for told in self._told.values():
            told.pop(stamp, None)

    def new_life(self) -> None:
        """Forget who was told: on the links of a new life nobody was."""
        for told in self._told.values():
            told.clear()

    # -- out -------------------------------------------------------------------------------------------------

    def _wait(self, agent: FullAgent) -> None:
        enter = partial(self._on_loop, self._let_in, agent)
        if not agent.when_room(enter):
            enter()

    def _let_in(self, agent: FullAgent) -> None:
        """Move what waits into the mailbox, as far as there is room."""
        queue = self._queues[agent]
        while queue and queue[0].enter():
            self._forget(agent, queue.popleft())
        if queue:
            self._wait(agent)
            return
        del self._queues[agent]
        for name in [name for name, full in self._full.items() if agent in full]:
            self._has_room(name, agent)

    def _forget(self, agent: FullAgent, visit: Visit) -> None:
        self.bytes -= visit.size + VISIT_BYTES
        self._guests_bytes -= visit.size + VISIT_BYTES if visit.guest else 0
        left = self._counts.pop((agent, visit.stamp)) - 1
        if left:
            self._counts[agent, visit.stamp] = left

    def _has_room(self, name: str, agent: FullAgent) -> None:
        """Let nodes go on once none of the agents of a name is full."""
        del self._full[name][agent]
        if not self._full[name]:
            del self._full[name]
            for stamp in self._told.pop(name):
                self._notify(stamp, Kind.RELEASE, name)
