"""For tests: worlds of agents on virtual time, probes, an in-memory network with faults, and the simulation.

The simulation is a package of its own, `agentbus.testing.simulation`.
"""

from __future__ import annotations

from agentbus.runtime import DeadlockError, VirtualClock, VirtualLoop, run_virtual, virtual_sleep
from agentbus.testing.chaos import ChaosCounts, ChaosProxy
from agentbus.testing.faults import Toward
from agentbus.testing.hub import TEST_HUB, TEST_KEY, MemoryHub
from agentbus.testing.network import MemoryNetwork, NetworkConnection
from agentbus.testing.probe import Probe, ProbeError
from agentbus.testing.world import World, simulate

__all__ = [
    "TEST_HUB",
    "TEST_KEY",
    "ChaosCounts",
    "ChaosProxy",
    "DeadlockError",
    "MemoryHub",
    "MemoryNetwork",
    "NetworkConnection",
    "Probe",
    "ProbeError",
    "Toward",
    "VirtualClock",
    "VirtualLoop",
    "World",
    "run_virtual",
    "simulate",
    "virtual_sleep",
]
