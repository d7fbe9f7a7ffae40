"""`agentbus usage`: what an app has used this month."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from agentbus.cli import console
from agentbus.cli.control import controlling
from agentbus.cli.operator import SecretPair, operator
from agentbus.cli.options import DEFAULT_URL, Json, Url


class _Plan(Struct, frozen=True, rename="camel"):
    name: str
    max_concurrent_connections: int
    max_messages_per_period: int
    overages_allowed: bool
    overages_enabled: bool


class _Usage(Struct, frozen=True, rename="camel"):
    app_id: str
    period_start_unix: int
    period_end_unix: int
    concurrent_now: int
    peak_concurrent: int
    messages_used: int
    overage_messages: int
    overage_connections: int
    plan: _Plan


def usage(*, url: Url = DEFAULT_URL, secret_key: SecretPair = None, json: Json = False) -> None:
    """Print the live counters of the app that the secret pair belongs to."""
    with controlling(operator(url, secret_key)) as plane:
        used = plane.call(_Usage, "GET", "usage")
    if json:
        console.data_json(used)
        return
    plan = used.plan
    quota = f"of {plan.max_messages_per_period}" if plan.max_messages_per_period else "no quota"
    console.data(f"app          {used.app_id}")
    console.data(f"period       {_day(used.period_start_unix)} to {_day(used.period_end_unix)}, UTC")
    console.data(f"messages     {used.messages_used}, {quota}")
    console.data(
        f"connections  {used.concurrent_now} now, {used.peak_concurrent} at most, "
        f"of {plan.max_concurrent_connections}"
    )


def _day(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).date().isoformat()
