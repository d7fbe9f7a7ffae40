"""What our tests and our users' tests use: the in-memory network with its faults."""

from __future__ import annotations

from agentbus.testing.faults import Toward
from agentbus.testing.network import MemoryNetwork, NetworkConnection

__all__ = ["MemoryNetwork", "NetworkConnection", "Toward"]
