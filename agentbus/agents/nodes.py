"""The table of known nodes: who they are, where they are, what they host.

Facts only: who is suspect or dead is decided in `membership`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import msgspec

from agentbus.agents.address import Address
from agentbus.agents.directory import AgentCondition, AgentEntry, Delta, NodeEntry
from agentbus.agents.envelope import Stamp
from agentbus.agents.index import AgentIndex, Place
from agentbus.agents.query import Query
from agentbus.errors import InvalidNameError


class NodeState(enum.Enum):
    """What is known about a node's life. The dead are not in the table."""

    ALIVE = "alive"
    SUSPECT = "suspect"


class NodeRecord(msgspec.Struct):
    """One known node.

    Attributes:
        stamp: its id and present life.
        peer: the peer id of its connection.
        state: alive or suspect.
        since: when it got into that state.
        seen_at: the last sign of life.
        told: whether its list was confirmed on this connection, by itself or by a page.
        version: of its list of agents; -1 before the list is complete.
        agents: by name.
        parts: the parts of a newer list that have arrived so far.
        parts_version: which list they belong to.
        conditions: how its agents are doing, by name, as far as it has said so.
    """

    stamp: Stamp
    peer: str
    state: NodeState
    since: float
    seen_at: float
    told: bool = False
    version: int = -1
    agents: dict[str, AgentEntry] = {}
    parts: dict[str, AgentEntry] = {}
    parts_version: int = -1
    conditions: dict[str, AgentCondition] = {}


class NodeTable:
    """Nodes by id and by peer, their agents by what they are found by, and who has which seat.

    Args:
        namespace: of the addresses.
        max_nodes: nodes beyond it are not entered; `refused` counts them.
        max_agents: agents of one node beyond it are not entered; `refused` counts them, and those whose name
            has no place in an address.
    """

    def __init__(self, namespace: str, max_nodes: int, max_agents: int) -> None:
        self._namespace = namespace
        self._nodes: dict[str, NodeRecord] = {}
        self._peers: dict[str, str] = {}
        self._index = AgentIndex()
        self._seats: dict[str, dict[str, NodeRecord]] = {}
        self._max_nodes = max_nodes
        self._max_agents = max_agents
        self.refused = 0

    # -- look up ---------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[NodeRecord]:
        """Go through the records in the order in which the nodes became known."""
        return iter(list(self._nodes.values()))

    def __len__(self) -> int:
        """Count the known nodes."""
        return len(self._nodes)

    def get(self, node: str) -> NodeRecord | None:
        """Give the record of a node id."""
        return self._nodes.get(node)

    def living(self, stamp: Stamp) -> NodeRecord | None:
        """Give the record of a node if it is in that very life."""
        record = self._nodes.get(stamp.node)
        return record if record is not None and record.stamp == stamp else None

    def at_peer(self, peer: str) -> NodeRecord | None:
        """Give the node that was last seen at a peer id."""
        return self._nodes.get(self._peers.get(peer, ""))

    def find(self, query: Query) -> list[Place]:
        """Give the agents that fit; those on living nodes first. Safe from any thread."""
        found = self._index.find(query)
        suspect = [place for place in found if place.record.state is NodeState.SUSPECT]
        if not suspect:
            return found
        return [place for place in found if place.record.state is not NodeState.SUSPECT] + suspect

    def seated(self, seat: str) -> list[NodeRecord]:
        """Give the nodes that list a seat, in no particular order."""
        return list(self._seats.get(seat, {}).values())

    # -- change ----------------------------------------------------------------------------------------------

    def enter(self, stamp: Stamp, peer: str, state: NodeState, now: float) -> NodeRecord | None:
        """Enter a new node, or a new life of a known one in place of the old; None if the table is full."""
        if stamp.node not in self._nodes and len(self._nodes) >= self._max_nodes:
            self.refused += 1
            return None
        self.remove(stamp.node)
        record = NodeRecord(stamp, peer, state, now, now)
        self._nodes[stamp.node] = record
        self._peers[peer] = stamp.node
        return record

    def move(self, record: NodeRecord, peer: str) -> bool:
        """Note where a node is reached now; tell whether that is new."""
        if record.peer == peer:
            return False
        if self._peers.get(record.peer) == record.stamp.node:
            del self._peers[record.peer]
        record.peer = peer
        self._peers[peer] = record.stamp.node
        return True

    def remove(self, node: str) -> NodeRecord | None:
        """Forget a node and its agents."""
        record = self._nodes.pop(node, None)
        if record is None:
            return None
        self._replace_agents(record, {})
        if self._peers.get(record.peer) == node:
            del self._peers[record.peer]
        return record

    def take_entry(self, record: NodeRecord, entry: NodeEntry) -> bool:
        """Take a part of a node's list; tell whether the list is complete and newer than what was known."""
        if entry.version <= record.version:
            return False
        if entry.version != record.parts_version:
            record.parts, record.parts_version = {}, entry.version
        for agent in entry.agents:
            if len(record.parts) < self._max_agents:
                record.parts[agent.name] = agent
            else:
                self.refused += 1
        if len(record.parts) < min(entry.total, self._max_agents):
            return False
        self._replace_agents(record, record.parts)
        record.version, record.parts, record.parts_version = entry.version, {}, -1
        return True

    def take_delta(self, record: NodeRecord, delta: Delta) -> bool:
        """Apply a change if it is the next one; False if changes before it are missing."""
        if delta.version <= record.version:
            return True
        if record.version < 0 or delta.version != record.version + 1:
            return False
        for name in delta.removed:
            self._withdraw(record, name)
        for entry in delta.added:
            if entry.name in record.agents or len(record.agents) < self._max_agents:
                self._admit(record, entry)
            else:
                self.refused += 1
        record.version = delta.version
        return True

    def _replace_agents(self, record: NodeRecord, agents: dict[str, AgentEntry]) -> None:
        for name in [name for name in record.agents if name not in agents]:
            self._withdraw(record, name)
        for entry in agents.values():
            self._admit(record, entry)

    def _admit(self, record: NodeRecord, entry: AgentEntry) -> None:
        if record.agents.get(entry.name) == entry:
            return
        self._withdraw(record, entry.name)
        node = record.stamp.node
        if entry.is_seat:
            self._seats.setdefault(entry.name, {})[node] = record
        else:
            try:
                self._index.add(Place(record, entry, Address(self._namespace, node, entry.name)))
            except InvalidNameError:
                self.refused += 1
        record.agents[entry.name] = entry

    def _withdraw(self, record: NodeRecord, name: str) -> None:
        entry = record.agents.pop(name, None)
        if entry is None:
            return
        record.conditions.pop(name, None)
        if not entry.is_seat:
            self._index.remove(record.stamp.node, name)
            return
        seated = self._seats[name]
        seated.pop(record.stamp.node, None)
        if not seated:
            del self._seats[name]
