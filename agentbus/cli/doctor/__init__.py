"""Why a connection fails: each step on the way to a hub's welcome, tried by itself and explained."""

from __future__ import annotations

from agentbus.cli.doctor.examine import Examination
from agentbus.cli.doctor.finding import Finding

__all__ = ["Examination", "Finding"]
