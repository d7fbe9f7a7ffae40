"""agentbus: the message bus that AI agents run on."""

from __future__ import annotations

from agentbus.client import *  # noqa: F403
