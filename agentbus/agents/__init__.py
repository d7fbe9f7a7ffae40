"""Agents: typed messages, supervised actors, and the bus that joins them across processes and machines.

A message goes through a link, which makes it arrive in order and exactly once between two live nodes;
membership says which nodes live; a cell keeps an agent's address and mailbox through its restarts.
"""

from __future__ import annotations

from agentbus.agents.address import Address
from agentbus.agents.agent import AgentActor, AsyncAgentActor, ChildLost
from agentbus.agents.broadcasting import TopicSubscription
from agentbus.agents.bus import Bus
from agentbus.agents.events import (
    AgentEnded,
    AgentFailure,
    AgentGaveUp,
    AgentProgress,
    AgentRecovered,
    AgentRestarting,
    AgentStalled,
    AgentStarted,
    BusConnected,
    BusDisconnected,
    BusEvent,
    DeadLetter,
    DeathReason,
    NodeBack,
    NodeDead,
    NodeSuspect,
    NodeUp,
    ProcessExited,
    ProcessStarted,
)
from agentbus.agents.handlers import handles
from agentbus.agents.lives.store_memory import MemoryStore
from agentbus.agents.lives.store_sqlite import SqliteStore
from agentbus.agents.message import Message, Request
from agentbus.agents.node_parts import NodeOptions
from agentbus.agents.outcome import Outcome
from agentbus.agents.ref import AgentRef
from agentbus.agents.watching import AgentDown

__all__ = [
    "Address",
    "AgentActor",
    "AgentDown",
    "AgentEnded",
    "AgentFailure",
    "AgentGaveUp",
    "AgentProgress",
    "AgentRecovered",
    "AgentRef",
    "AgentRestarting",
    "AgentStalled",
    "AgentStarted",
    "AsyncAgentActor",
    "Bus",
    "BusConnected",
    "BusDisconnected",
    "BusEvent",
    "ChildLost",
    "DeadLetter",
    "DeathReason",
    "MemoryStore",
    "Message",
    "NodeBack",
    "NodeDead",
    "NodeOptions",
    "NodeSuspect",
    "NodeUp",
    "Outcome",
    "ProcessExited",
    "ProcessStarted",
    "Request",
    "SqliteStore",
    "TopicSubscription",
    "handles",
]
