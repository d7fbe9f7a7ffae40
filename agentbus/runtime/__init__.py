"""Actors and what they live on: loops and their threads, mailboxes, supervision, futures, streams, clocks.

Nothing here knows frames, sockets or agents. Time and chance are parameters: `VirtualLoop` and a seeded
`random.Random` make the same actors run as a deterministic simulation.
"""

from __future__ import annotations

from agentbus.runtime.buffer import Buffer
from agentbus.runtime.callbacks import Callbacks, CallbackStatistics
from agentbus.runtime.clock import Clock, SystemClock, VirtualClock
from agentbus.runtime.faults import FutureStateError, FutureTimeout
from agentbus.runtime.future import Future
from agentbus.runtime.lanes import Lane
from agentbus.runtime.loop import HostedLoop, Loop, LoopStatistics
from agentbus.runtime.loop_thread import LoopThread
from agentbus.runtime.runtime import Runtime, default_runtime
from agentbus.runtime.streams import EventSource, EventStream, Subscription
from agentbus.runtime.virtual import DeadlockError, VirtualLoop, run_virtual, virtual_sleep
from agentbus.runtime.watchdog import BlockReport, Watchdog

__all__ = [
    "BlockReport",
    "Buffer",
    "CallbackStatistics",
    "Callbacks",
    "Clock",
    "DeadlockError",
    "EventSource",
    "EventStream",
    "Future",
    "FutureStateError",
    "FutureTimeout",
    "HostedLoop",
    "Lane",
    "Loop",
    "LoopStatistics",
    "LoopThread",
    "Runtime",
    "Subscription",
    "SystemClock",
    "VirtualClock",
    "VirtualLoop",
    "Watchdog",
    "default_runtime",
    "run_virtual",
    "virtual_sleep",
]
