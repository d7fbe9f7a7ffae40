"""What administration calls answer with, in the names of spec section 8, *REST control plane*."""

from __future__ import annotations

import msgspec

from agentbus.hub.core.commands import Command
from agentbus.hub.core.config import AppConfig
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.quotas import Meter

PLAN_NAME = "self-hosted"


class Published(msgspec.Struct, frozen=True):
    """A message that came from outside any connection.

    Attributes:
        delivered: connections that it goes to.
        commands: what brings it there.
    """

    delivered: int
    commands: list[Command]


class Plan(msgspec.Struct, frozen=True, rename="camel"):
    """What an app may use; 0 messages is no quota. A hub of our own never allows more than that."""

    name: str
    max_concurrent_connections: int
    max_messages_per_period: int
    overages_allowed: bool = False
    overages_enabled: bool = False


class Usage(msgspec.Struct, frozen=True, rename="camel"):
    """Live counters of one app. Times are Unix seconds; the period is a calendar month (UTC)."""

    app_id: str
    period_start_unix: int
    period_end_unix: int
    concurrent_now: int
    peak_concurrent: int
    messages_used: int
    overage_messages: int
    overage_connections: int
    plan: Plan


def usage_of(meter: Meter, app: AppConfig, now: Instant) -> Usage:
    """Describe what `app` has used in the period of `now`."""
    meter.has_room(now)  # begins the period of `now`, if it is a new one
    return Usage(
        app_id=app.id,
        period_start_unix=meter.period_start,
        period_end_unix=meter.period_end,
        concurrent_now=meter.concurrent + meter.concurrent_elsewhere,
        peak_concurrent=meter.peak_concurrent,
        messages_used=meter.messages + meter.elsewhere_messages,
        overage_messages=0,
        overage_connections=0,
        plan=Plan(PLAN_NAME, app.max_connections, app.max_messages_per_period),
    )
