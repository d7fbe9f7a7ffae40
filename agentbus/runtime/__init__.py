"""Actors and what they live on: loops and their threads, mailboxes, supervision, futures, streams, clocks.

Nothing here knows frames, sockets or agents. Time and chance are parameters: `VirtualLoop` and a seeded
`random.Random` make the same actors run as a deterministic simulation.
"""

from __future__ import annotations

from agentbus.runtime.actor import LoopActor
from agentbus.runtime.adopt import adopt_pykka
from agentbus.runtime.buffer import Buffer
from agentbus.runtime.callbacks import Callbacks, CallbackStatistics
from agentbus.runtime.cell import Behaviour, CellOptions, CellRef, start_cell
from agentbus.runtime.cell_context import CellContext
from agentbus.runtime.cell_core import CellGoneError
from agentbus.runtime.cell_events import (
    CellEvent,
    CellState,
    ChildDown,
    Failed,
    GaveUp,
    Paused,
    Restarted,
    Restarting,
    Resumed,
    Started,
    Stopped,
    StopReason,
)
from agentbus.runtime.cell_group import CellGroup
from agentbus.runtime.cell_job import CancelToken
from agentbus.runtime.clock import Clock, SystemClock, VirtualClock
from agentbus.runtime.dead_letters import DeadLetter, DeadLetterReason, DeadLetters
from agentbus.runtime.dispatch import receives
from agentbus.runtime.down import Down, DownReason, StartOptions
from agentbus.runtime.faults import ActorGoneError, FutureStateError, FutureTimeout
from agentbus.runtime.future import Future
from agentbus.runtime.lanes import Lane
from agentbus.runtime.loop import HostedLoop, Loop, LoopStatistics
from agentbus.runtime.loop_thread import LoopThread
from agentbus.runtime.mailbox import MailboxOptions, Overflow
from agentbus.runtime.owned import OwnedTimer
from agentbus.runtime.ref import LoopActorRef
from agentbus.runtime.registry import ActorRegistry
from agentbus.runtime.runtime import Runtime, default_runtime
from agentbus.runtime.streams import EventSource, EventStream, Subscription
from agentbus.runtime.supervision import Backoff, RestartMode, RestartPolicy, Strategy
from agentbus.runtime.virtual import DeadlockError, VirtualLoop, run_virtual, virtual_sleep
from agentbus.runtime.watchdog import BlockReport, Watchdog

__all__ = [
    "ActorGoneError",
    "ActorRegistry",
    "Backoff",
    "Behaviour",
    "BlockReport",
    "Buffer",
    "CallbackStatistics",
    "Callbacks",
    "CancelToken",
    "CellContext",
    "CellEvent",
    "CellGoneError",
    "CellGroup",
    "CellOptions",
    "CellRef",
    "CellState",
    "ChildDown",
    "Clock",
    "DeadLetter",
    "DeadLetterReason",
    "DeadLetters",
    "DeadlockError",
    "Down",
    "DownReason",
    "EventSource",
    "EventStream",
    "Failed",
    "Future",
    "FutureStateError",
    "FutureTimeout",
    "GaveUp",
    "HostedLoop",
    "Lane",
    "Loop",
    "LoopActor",
    "LoopActorRef",
    "LoopStatistics",
    "LoopThread",
    "MailboxOptions",
    "Overflow",
    "OwnedTimer",
    "Paused",
    "RestartMode",
    "RestartPolicy",
    "Restarted",
    "Restarting",
    "Resumed",
    "Runtime",
    "StartOptions",
    "Started",
    "StopReason",
    "Stopped",
    "Strategy",
    "Subscription",
    "SystemClock",
    "VirtualClock",
    "VirtualLoop",
    "Watchdog",
    "adopt_pykka",
    "default_runtime",
    "receives",
    "run_virtual",
    "start_cell",
    "virtual_sleep",
]
