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
    AgentRestarting,
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
from agentbus.agents.message import Message, Request
from agentbus.agents.node_parts import NodeOptions
from agentbus.agents.nodes import NodeState
from agentbus.agents.outcome import Outcome
from agentbus.agents.ref import AgentRef
from agentbus.agents.routing import Route, RouteToAll
from agentbus.agents.status import AgentInfo, AgentStatus
from agentbus.agents.watching import AgentDown

__all__ = [
    "Address",
    "AgentActor",
    "AgentDown",
    "AgentEnded",
    "AgentFailure",
    "AgentGaveUp",
    "AgentInfo",
    "AgentProgress",
    "AgentRef",
    "AgentRestarting",
    "AgentStarted",
    "AgentStatus",
    "AsyncAgentActor",
    "Bus",
    "BusConnected",
    "BusDisconnected",
    "BusEvent",
    "ChildLost",
    "DeadLetter",
    "DeathReason",
    "Message",
    "NodeBack",
    "NodeDead",
    "NodeOptions",
    "NodeState",
    "NodeSuspect",
    "NodeUp",
    "Outcome",
    "ProcessExited",
    "ProcessStarted",
    "Request",
    "Route",
    "RouteToAll",
    "TopicSubscription",
    "handles",
]
