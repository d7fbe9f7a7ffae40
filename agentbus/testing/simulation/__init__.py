"""Deterministic simulation: real clients and a real hub, played from a seed on one virtual loop.

`draw_plan(seed)` draws who takes part and what happens: calls, cuts at any byte, delays, partitions,
restarts, stopped processes, close codes, bad tokens. `play(plan)` plays it and holds what happened against
the invariants. The same seed gives the same trace, in any process. A plan can also be written down by hand.
"""

from __future__ import annotations

from agentbus.testing.simulation.invariants import INVARIANTS, Violation
from agentbus.testing.simulation.plan import ClientSpec, HubSpec, NodeSpec, Plan, QueueSpec, Step, TokenMood
from agentbus.testing.simulation.process import Process, ProcessLoop
from agentbus.testing.simulation.report import describe_failure, replay_command
from agentbus.testing.simulation.run import Run, play
from agentbus.testing.simulation.scenarios import (
    QUEUE_SCENARIOS,
    SCENARIOS,
    Scenario,
    draw_plan,
    draw_queue_plan,
)
from agentbus.testing.simulation.shrink import shrink
from agentbus.testing.simulation.trace import Trace

__all__ = [
    "INVARIANTS",
    "QUEUE_SCENARIOS",
    "SCENARIOS",
    "ClientSpec",
    "HubSpec",
    "NodeSpec",
    "Plan",
    "Process",
    "ProcessLoop",
    "QueueSpec",
    "Run",
    "Scenario",
    "Step",
    "TokenMood",
    "Trace",
    "Violation",
    "describe_failure",
    "draw_plan",
    "draw_queue_plan",
    "play",
    "replay_command",
    "shrink",
]
