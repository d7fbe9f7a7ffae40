"""The hub's rules, pure: bytes and a time go in, commands come out. `Hub` is the door."""

from __future__ import annotations

from agentbus.hub.core.access import Grant
from agentbus.hub.core.admission import ConnectRequest
from agentbus.hub.core.claims import Claims, TokenVerifier, no_tokens, parse_claims
from agentbus.hub.core.commands import Broadcast, Close, Command, Send
from agentbus.hub.core.config import (
    ALL_ACTIONS,
    Action,
    AppConfig,
    HubConfig,
    Limits,
    PublishableKey,
    SecretKey,
)
from agentbus.hub.core.hub import Hub
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.quotas import MemoryUsageStore, UsageRecord, UsageStore
from agentbus.hub.core.session import Session
from agentbus.hub.core.statistics import Statistics
from agentbus.hub.core.usage import Published, Usage

__all__ = [
    "ALL_ACTIONS",
    "Action",
    "AppConfig",
    "Broadcast",
    "Claims",
    "Close",
    "Command",
    "ConnectRequest",
    "Grant",
    "Hub",
    "HubConfig",
    "Instant",
    "Limits",
    "MemoryUsageStore",
    "PublishableKey",
    "Published",
    "SecretKey",
    "Send",
    "Session",
    "Statistics",
    "TokenVerifier",
    "Usage",
    "UsageRecord",
    "UsageStore",
    "no_tokens",
    "parse_claims",
]
