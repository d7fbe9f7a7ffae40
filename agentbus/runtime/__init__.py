"""Actors and what they live on: loops and their threads, mailboxes, supervision, futures, streams, clocks.

Nothing here knows frames, sockets or agents. Time and chance are parameters: `VirtualLoop` and a seeded
`random.Random` make the same actors run as a deterministic simulation.
"""

from __future__ import annotations

from agentbus.runtime.actor import LoopActor
from agentbus.runtime.buffer import Buffer
from agentbus.runtime.callbacks import Callbacks, CallbackStatistics
from agentbus.runtime.clock import Clock, SystemClock, VirtualClock
from agentbus.runtime.dead_letters import DeadLetter, DeadLetterReason, DeadLetters
from agentbus.runtime.dispatch import receives
from agentbus.runtime.down import Down, DownReason, StartOptions
from agentbus.runtime.faults import FutureStateError, FutureTimeout
from agentbus.runtime.future import Future
from agentbus.runtime.lanes import Lane
from agentbus.runtime.loop import HostedLoop, Loop, LoopStatistics
from agentbus.runtime.loop_thread import LoopThread
from agentbus.runtime.mailbox import MailboxOptions, Overflow
from agentbus.runtime.owned import OwnedTimer
from agentbus.runtime.ref import ActorGoneError, LoopActorRef
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
    "BlockReport",
    "Buffer",
    "CallbackStatistics",
    "Callbacks",
    "Clock",
    "DeadLetter",
    "DeadLetterReason",
    "DeadLetters",
    "DeadlockError",
    "Down",
    "DownReason",
    "EventSource",
    "EventStream",
    "Future",
    "FutureStateError",
    "FutureTimeout",
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
    "RestartMode",
    "RestartPolicy",
    "Runtime",
    "StartOptions",
    "Strategy",
    "Subscription",
    "SystemClock",
    "VirtualClock",
    "VirtualLoop",
    "Watchdog",
    "default_runtime",
    "receives",
    "run_virtual",
    "virtual_sleep",
]
