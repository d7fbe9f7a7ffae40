"""Quotas over hubs: right within a beat."""

from __future__ import annotations

from agentbus.hub.core import MemoryUsageStore
from tests.hub.core.cluster.world import BEAT, LEASE, ClusterWorld
from tests.hub.core.world import KEY, Client, app


def publish(client: Client, times: int) -> list[str]:
    answers = [client.ask("publish", channel="room", data=number) for number in range(times)]
    return [answer.get("code", "ack") for answer in answers]


def test_connections_at_all_hubs_count_against_the_limit() -> None:
    hubs = ClusterWorld(3, app(max_connections=3))
    clients = [hubs[index].join() for index in (0, 1, 2)]
    refused = hubs[0].world.connect(key=KEY)
    assert refused.close_code == 4010
    clients[2].drop()
    hubs.settle()
    assert hubs[0].world.connect(key=KEY).close_code is None
    assert hubs[1].world.hub.usage("demo", hubs.now).concurrent_now == 2
    hubs.settle()
    assert hubs[1].world.hub.usage("demo", hubs.now).concurrent_now == 3


def test_messages_at_all_hubs_count_against_the_quota_within_a_beat() -> None:
    hubs = ClusterWorld(3, app(max_messages_per_period=10))
    clients = [member.join() for member in hubs.members]
    for client in clients:
        assert publish(client, 3) == ["ack"] * 3
    hubs.advance(BEAT)
    assert publish(clients[0], 2) == ["ack", "over_message_quota"]
    hubs.advance(BEAT)
    assert publish(clients[1], 1) == ["over_message_quota"]
    assert [m.world.hub.usage("demo", hubs.now).messages_used for m in hubs.members] == [10] * 3


def test_what_a_hub_counted_outlives_it() -> None:
    hubs = ClusterWorld(3, app(max_messages_per_period=100))
    client = hubs[0].join()
    publish(client, 40)
    hubs.advance(2 * BEAT)
    hubs.kill(hubs[0])
    hubs.advance(2 * LEASE)
    late = hubs.start()
    hubs.settle()
    assert late.world.hub.usage("demo", hubs.now).messages_used == 40


def test_a_hub_that_comes_back_under_its_name_counts_nothing_twice() -> None:
    hubs = ClusterWorld(1, app(max_messages_per_period=100))
    store = MemoryUsageStore()
    member = hubs.start("named", store)
    hubs.settle()
    publish(member.join(), 30)
    hubs.advance(10)
    hubs.stop(member)
    again = hubs.start("named", store)
    hubs.settle()
    publish(again.join(), 5)
    hubs.advance(2 * BEAT)
    assert [m.world.hub.usage("demo", hubs.now).messages_used for m in hubs.alive] == [35, 35]


def test_a_new_month_begins_at_nothing_on_all_hubs() -> None:
    hubs = ClusterWorld(2, app(max_messages_per_period=10))
    clients = [member.join() for member in hubs.members]
    for client in clients:
        publish(client, 5)
    hubs.advance(BEAT)
    assert publish(clients[0], 1) == ["over_message_quota"]
    hubs.jump(31 * 86400.0)
    assert publish(clients[0], 1) == ["ack"]
    hubs.advance(BEAT)
    assert [m.world.hub.usage("demo", hubs.now).messages_used for m in hubs.members] == [1, 1]
