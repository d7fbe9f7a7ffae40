"""How agents are doing: what a program is told, and how it is found out for those of this node."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from agentbus.agents.directory import MetadataValue
from agentbus.runtime.cell_events import CellState

if TYPE_CHECKING:
    from agentbus.agents.nodes import NodeState
    from agentbus.agents.ref import AgentRef
    from agentbus.runtime.cell import CellRef


class AgentStatus(enum.StrEnum):
    """What an agent is about.

    IDLE waits for messages; BUSY handles one, starts or waits to be started again; PAUSED takes none for now;
    STALLED handles one and has shown no progress for too long; DRAINING was asked to end; UNKNOWN is what its
    node has not told yet.
    """

    IDLE = "idle"
    BUSY = "busy"
    PAUSED = "paused"
    STALLED = "stalled"
    DRAINING = "draining"
    UNKNOWN = "unknown"


class AgentInfo(msgspec.Struct, frozen=True):
    """An agent as it is known at one moment.

    Attributes:
        ref: its ref.
        capabilities: what it is found by.
        metadata: facts that it is found by, too.
        status: of an agent elsewhere as its node said last, which is a few seconds ago.
        queued: messages that wait for it, from the same moment; 0 where that is unknown.
        node_state: whether its node is reached now.
    """

    ref: AgentRef
    capabilities: tuple[str, ...]
    metadata: Mapping[str, MetadataValue]
    status: AgentStatus
    queued: int
    node_state: NodeState

    @property
    def node(self) -> str:
        """The node that hosts it."""
        return self.ref.node


def read_status(word: str) -> AgentStatus:
    """Read another node's word; one of a later version is none that we know."""
    try:
        return AgentStatus(word)
    except ValueError:
        return AgentStatus.UNKNOWN


def status_of(cell: CellRef | None) -> AgentStatus:
    """Find out what a cell of this node is about; from any thread."""
    if cell is None:
        return AgentStatus.BUSY
    if cell.draining:
        return AgentStatus.DRAINING
    if cell.paused:
        return AgentStatus.PAUSED
    working = cell.busy or cell.queue_length or cell.state is not CellState.RUNNING
    return AgentStatus.BUSY if working else AgentStatus.IDLE


_BEST_FIRST = (
    AgentStatus.IDLE,
    AgentStatus.BUSY,
    AgentStatus.STALLED,
    AgentStatus.PAUSED,
    AgentStatus.DRAINING,
)


def status_of_all(statuses: Iterable[AgentStatus]) -> AgentStatus:
    """Give the status of several under one name: that of the one who takes the next message soonest."""
    return min(statuses, key=_BEST_FIRST.index, default=AgentStatus.DRAINING)
