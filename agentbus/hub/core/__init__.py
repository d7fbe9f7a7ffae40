"""The hub's rules, pure: bytes and a time go in, commands come out. `Hub` is the door."""

from __future__ import annotations

from agentbus.hub.core.access import Grant
from agentbus.hub.core.admission import ConnectRequest
from agentbus.hub.core.claims import Claims, TokenVerifier, no_tokens, parse_claims
from agentbus.hub.core.commands import Broadcast, CatchUp, Close, Command, Send
from agentbus.hub.core.config import (
    ALL_ACTIONS,
    Action,
    AppConfig,
    DedupeLimits,
    HistoryLimits,
    HistoryRule,
    HubConfig,
    Limits,
    Mailboxes,
    PublishableKey,
    SecretKey,
)
from agentbus.hub.core.hub import Hub
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.quotas import MemoryUsageStore, UsageRecord, UsageStore
from agentbus.hub.core.session import Session
from agentbus.hub.core.statistics import Statistics
from agentbus.hub.core.stored import Author, Entry, HistoryStore, StoredChannel, entry_bytes
from agentbus.hub.core.usage import Published, Usage

__all__ = [
    "ALL_ACTIONS",
    "Action",
    "AppConfig",
    "Author",
    "Broadcast",
    "CatchUp",
    "Claims",
    "Close",
    "Command",
    "ConnectRequest",
    "DedupeLimits",
    "Entry",
    "Grant",
    "HistoryLimits",
    "HistoryRule",
    "HistoryStore",
    "Hub",
    "HubConfig",
    "Instant",
    "Limits",
    "Mailboxes",
    "MemoryUsageStore",
    "PublishableKey",
    "Published",
    "SecretKey",
    "Send",
    "Session",
    "Statistics",
    "StoredChannel",
    "TokenVerifier",
    "Usage",
    "UsageRecord",
    "UsageStore",
    "entry_bytes",
    "no_tokens",
    "parse_claims",
]
