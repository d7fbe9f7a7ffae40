"""For tests: virtual time, an in-memory network with faults and a hub on it, and the simulation.

The simulation is a package of its own, `agentbus.testing.simulation`.
"""

from __future__ import annotations

from agentbus.runtime import DeadlockError, VirtualClock, VirtualLoop, run_virtual, virtual_sleep
from agentbus.testing.faults import Toward
from agentbus.testing.hub import TEST_HUB, TEST_KEY, MemoryHub
from agentbus.testing.network import MemoryNetwork, NetworkConnection

__all__ = [
    "TEST_HUB",
    "TEST_KEY",
    "DeadlockError",
    "MemoryHub",
    "MemoryNetwork",
    "NetworkConnection",
    "Toward",
    "VirtualClock",
    "VirtualLoop",
    "run_virtual",
    "virtual_sleep",
]
