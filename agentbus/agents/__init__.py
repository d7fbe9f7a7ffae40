"""Agents: typed messages, supervised actors, and the bus that joins them across processes and machines.

A message goes through a link, which makes it arrive in order and exactly once between two live nodes;
membership says which nodes live; a cell keeps an agent's address and mailbox through its restarts.
"""

from __future__ import annotations

from agentbus.agents.address import Address
from agentbus.agents.agent import AgentActor, AsyncAgentActor, ChildLost
from agentbus.agents.approvals.asking import approved
from agentbus.agents.approvals.desk import ApprovalDesk
from agentbus.agents.approvals.messages import (
    AwaitVerdict,
    Decide,
    ListPending,
    PendingApproval,
    RequestApproval,
    Ticket,
    Verdict,
)
from agentbus.agents.broadcasting import TopicSubscription
from agentbus.agents.budgets import Budget, BudgetAccount
from agentbus.agents.bus import Bus
from agentbus.agents.events import (
    AgentEnded,
    AgentFailure,
    AgentGaveUp,
    AgentPaused,
    AgentProgress,
    AgentRecovered,
    AgentRestarting,
    AgentResumed,
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
    QueueHostEnded,
    SchedulesHeldUp,
)
from agentbus.agents.handlers import handles
from agentbus.agents.link_queue import LinkOptions
from agentbus.agents.lives.store_memory import MemoryStore
from agentbus.agents.lives.store_sqlite import SqliteStore
from agentbus.agents.message import Message, Request, Streaming
from agentbus.agents.node_parts import NodeOptions
from agentbus.agents.nodes import NodeState
from agentbus.agents.outcome import Outcome
from agentbus.agents.queues.core.job import JobStatus, QueueStats
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.effects import JobEffect
from agentbus.agents.queues.handle import Queue
from agentbus.agents.queues.job_context import JobContext
from agentbus.agents.queues.job_ref import JobRef
from agentbus.agents.queues.messages import JobPage, ScheduleStatus
from agentbus.agents.queues.new_jobs import chain, group, job, map_jobs, raw_job
from agentbus.agents.queues.puller_messages import DrainWorker, GetWorker, WorkerReport
from agentbus.agents.queues.results import JobResult, QueueStream, ResultStream
from agentbus.agents.queues.worker_events import (
    JobAttemptFailed,
    JobHandedBack,
    JobHandlerStuck,
    JobLeaseLost,
    QueueAttached,
    QueueOutOfReach,
)
from agentbus.agents.ref import AgentRef
from agentbus.agents.routing import Route, RouteToAll
from agentbus.agents.silence import ReceiveTimeout
from agentbus.agents.standing import MembershipOptions
from agentbus.agents.status import AgentInfo, AgentStatus
from agentbus.agents.streams.attachment import Attachment
from agentbus.agents.streams.stream import AgentStream, StreamStatus
from agentbus.agents.watching import AgentDown

__all__ = [
    "Address",
    "AgentActor",
    "AgentDown",
    "AgentEnded",
    "AgentFailure",
    "AgentGaveUp",
    "AgentInfo",
    "AgentPaused",
    "AgentProgress",
    "AgentRecovered",
    "AgentRef",
    "AgentRestarting",
    "AgentResumed",
    "AgentStalled",
    "AgentStarted",
    "AgentStatus",
    "AgentStream",
    "ApprovalDesk",
    "AsyncAgentActor",
    "Attachment",
    "AwaitVerdict",
    "Budget",
    "BudgetAccount",
    "Bus",
    "BusConnected",
    "BusDisconnected",
    "BusEvent",
    "ChildLost",
    "DeadLetter",
    "DeathReason",
    "Decide",
    "DrainWorker",
    "GetWorker",
    "JobAttemptFailed",
    "JobContext",
    "JobEffect",
    "JobHandedBack",
    "JobHandlerStuck",
    "JobLeaseLost",
    "JobPage",
    "JobRef",
    "JobResult",
    "JobStatus",
    "LinkOptions",
    "ListPending",
    "MembershipOptions",
    "MemoryStore",
    "Message",
    "NodeBack",
    "NodeDead",
    "NodeOptions",
    "NodeState",
    "NodeSuspect",
    "NodeUp",
    "Outcome",
    "PendingApproval",
    "ProcessExited",
    "ProcessStarted",
    "Queue",
    "QueueAttached",
    "QueueHostEnded",
    "QueueOptions",
    "QueueOutOfReach",
    "QueueStats",
    "QueueStream",
    "ReceiveTimeout",
    "Request",
    "RequestApproval",
    "ResultStream",
    "Route",
    "RouteToAll",
    "ScheduleStatus",
    "SchedulesHeldUp",
    "SqliteStore",
    "StreamStatus",
    "Streaming",
    "Ticket",
    "TopicSubscription",
    "Verdict",
    "WorkerReport",
    "approved",
    "chain",
    "group",
    "handles",
    "job",
    "map_jobs",
    "raw_job",
]
