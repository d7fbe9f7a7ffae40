"""The message quota: a calendar month in UTC, kept over restarts. Spec section 8."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.hub.core import MemoryUsageStore, UsageRecord
from agentbus.hub.core.quotas import month_of
from tests.hub.core.world import KEY, WALL, World, app

JUNE = int(datetime(2025, 6, 1, tzinfo=UTC).timestamp())
JULY = int(datetime(2025, 7, 1, tzinfo=UTC).timestamp())
ACK = {"type": "ack", "requestId": "r"}


class CountingStore(MemoryUsageStore):
    saves = 0

    def save(self, records: Sequence[UsageRecord]) -> None:
        self.saves += 1
        super().save(records)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001 -- made aware below
def test_a_month_holds_its_moment_and_touches_the_next(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC)
    start, end = month_of(moment.timestamp())
    assert start <= moment.timestamp() < end
    first, last = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
    assert (first.day, first.hour, first.minute, first.second) == (1, 0, 0, 0)
    assert (first.year, first.month) == (moment.year, moment.month)
    assert last == (first + timedelta(days=32)).replace(day=1)


def test_the_quota_counts_accepted_publishes_and_sends_and_nothing_else() -> None:
    client = World(app(max_messages_per_period=2)).join(peer="alice")
    client.subscribe("c")
    client.say({"type": "ping"})
    client.say({"type": "publish", "channel": "", "data": 1})
    client.say({"type": "send", "to": "nobody", "data": 1})
    client.take()
    assert client.ask("publish", channel="c", data=1) == ACK
    assert client.ask("send", to="alice", data=1) == ACK
    client.take()
    assert client.ask("publish", channel="c", data=1)["code"] == "over_message_quota"
    assert client.ask("send", to="alice", data=1)["code"] == "over_message_quota"
    assert client.ask("subscribe", channel="d") == ACK


def test_over_quota_inbound_delivery_goes_on() -> None:
    world = World(app(max_messages_per_period=1), app(id="other", publishable_keys=(), secret_keys=()))
    alice, bob = world.join("c"), world.join("c")
    world.advance(1)
    bob.take()
    assert alice.ask("publish", channel="c", data=1) == ACK
    assert [frame["data"] for frame in bob.take()] == [1]
    assert world.hub.usage("other", world.now).messages_used == 0


def test_a_new_month_begins_anew() -> None:
    world = World(app(max_messages_per_period=1))
    client = world.join(peer="alice", expires_at=float(JULY + 1000))
    assert client.ask("publish", channel="c", data=1) == ACK
    world.advance(JULY - WALL - 1)
    assert client.ask("publish", channel="c", data=1)["code"] == "over_message_quota"
    world.advance(1)
    assert client.ask("publish", channel="c", data=1) == ACK
    usage = world.hub.usage("demo", world.now)
    assert (usage.period_start_unix, usage.messages_used, usage.peak_concurrent) == (JULY, 1, 1)


def test_usage_says_what_was_used() -> None:
    world = World(app(max_messages_per_period=10, max_connections=5))
    one, _two = world.join(), world.join()
    one.say({"type": "publish", "channel": "c", "data": 1})
    one.drop()
    usage = world.hub.usage("demo", world.now)
    assert (usage.app_id, usage.period_start_unix, usage.period_end_unix) == ("demo", JUNE, JULY)
    assert (usage.concurrent_now, usage.peak_concurrent, usage.messages_used) == (1, 2, 1)
    assert (usage.plan.max_concurrent_connections, usage.plan.max_messages_per_period) == (5, 10)
    assert (usage.overage_messages, usage.overage_connections, usage.plan.overages_allowed) == (0, 0, False)
    with pytest.raises(KeyError):
        world.hub.usage("nowhere", world.now)


def test_counts_survive_a_restart() -> None:
    store = MemoryUsageStore()
    first = World(app(max_messages_per_period=3), usage_store=store)
    client = first.join()
    client.say({"type": "publish", "channel": "c", "data": 1})
    client.say({"type": "publish", "channel": "c", "data": 1})
    first.execute(first.hub.shutdown(first.now, 1.0))
    second = World(app(max_messages_per_period=3), usage_store=store)
    client = second.join()
    assert client.ask("publish", channel="c", data=1) == ACK
    assert client.ask("publish", channel="c", data=1)["code"] == "over_message_quota"


def test_counts_are_saved_after_five_seconds_and_only_when_something_was_counted() -> None:
    store = CountingStore()
    world = World(usage_store=store)
    client = world.join()
    world.advance(10)
    assert store.saves == 1  # the peak of connections
    assert world.hub.next_deadline() is None
    for _ in range(100):
        client.say({"type": "publish", "channel": "c", "data": 1})
    assert store.saves == 1
    assert world.hub.next_deadline() == world.now.monotonic + 5.0
    world.advance(5)
    assert store.saves == 2
    assert store.records["demo", JUNE] == UsageRecord("demo", JUNE, 100, 1)
    world.advance(100)
    assert store.saves == 2


def test_the_end_of_a_month_is_saved_before_the_next_begins() -> None:
    store = MemoryUsageStore()
    world = World(usage_store=store)
    world.advance(JULY - WALL - 1)
    client = world.connect(key=KEY)
    client.say({"type": "publish", "channel": "c", "data": 1})
    world.advance(1)
    client.say({"type": "publish", "channel": "c", "data": 1})
    assert store.records["demo", JUNE].messages == 1
    world.advance(5)
    assert store.records["demo", JULY].messages == 1


def test_a_hub_without_a_store_has_nothing_to_wake_up_for() -> None:
    world = World()
    world.connect(key=KEY).say({"type": "publish", "channel": "c", "data": 1})
    assert world.hub.next_deadline() is None
