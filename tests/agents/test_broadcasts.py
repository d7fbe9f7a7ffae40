"""Broadcast to groups, and more topics than a connection has channels."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from agentbus.agents.bus import Bus
from agentbus.agents.channels import (
    DEFAULT_LIMIT,
    RESERVED_CHANNELS,
    SHARED_CHANNELS,
    TopicChannels,
    shared_number,
    shared_seat,
)
from agentbus.agents.events import BusConnected, NodeSuspect
from agentbus.agents.message import Message
from agentbus.errors import InvalidNameError, MailboxFullError, NotTrustedError
from agentbus.hub.core import Limits
from tests.agents.cluster import Cluster, simulate


class Bulletin(Message):
    number: int


class Alarm(Message):
    number: int


class Ears:
    """Listeners, and what each of them heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int]] = []

    async def listen(self, bus: Bus, who: str, topic: str = "news", kind: Any = Bulletin, **how: Any) -> Any:
        listening = bus.listen(topic, kind, lambda news: self.heard.append((who, news.number)), **how)
        await listening.ready
        return listening

    def counts(self) -> Counter[int]:
        """Give how many listeners heard each message."""
        return Counter(number for _, number in self.heard)

    def shares(self) -> Counter[str]:
        """Give how many messages each listener heard."""
        return Counter(who for who, _ in self.heard)


async def publish(bus: Bus, numbers: range, topic: str = "news") -> None:
    for number in numbers:
        await bus.broadcast(topic, Bulletin(number))


# -- groups -------------------------------------------------------------------------------------------------


def test_of_each_group_one_listener_gets_a_message_whoever_publishes() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b, c = await cluster.join("a", "b", "c")
        indexers, auditors, everybody = Ears(), Ears(), Ears()
        for bus, who in ((a, "a"), (b, "b"), (b, "b2"), (c, "c")):
            await indexers.listen(bus, who, group="indexers")
        await auditors.listen(a, "a", group="auditors")
        await everybody.listen(b, "b")
        for bus, numbers in ((a, range(60)), (b, range(60, 120)), (c, range(120, 180))):
            await publish(bus, numbers)
        await cluster.until(lambda: len(everybody.heard) == 180)
        assert indexers.counts() == auditors.counts() == dict.fromkeys(range(180), 1)
        assert len(indexers.shares()) == 4
        assert min(indexers.shares().values()) > 25, "fairly even"

    simulate(scenario)


def test_a_group_goes_on_without_a_member_that_left_or_died() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b, c = await cluster.join("a", "b", "c")
        ears = Ears()
        kept = await ears.listen(a, "a", group="g")
        left = await ears.listen(b, "b", group="g")
        second = await ears.listen(b, "b2", group="g")
        await ears.listen(c, "c", group="g")
        left.cancel()
        await asyncio.sleep(0)
        await publish(a, range(30))
        assert set(ears.shares()) <= {"a", "b2", "c"}
        with cluster.network.refusing("c"):
            cluster.network.cut("c")
            await cluster.until(lambda: all(cluster.seen(node, NodeSuspect) for node in "ab"))
            ears.heard.clear()
            await publish(a, range(30, 60))
            await cluster.until(lambda: len(ears.heard) == 30)
            assert set(ears.shares()) == {"a", "b2"}
        second.cancel()
        kept.cancel()
        seat = "\0group\0news\0g\0Bulletin/1"
        await cluster.until(lambda: not [bus for bus in (a, b) if cluster.parts(bus).membership.own.agents])
        assert cluster.parts(a).membership.nodes.seated(seat) != [], "c is still there, though suspect"
        assert a.find() == a.agents() == [], "a seat is no agent"

    simulate(scenario)


def test_of_a_group_with_different_types_one_that_takes_the_message_gets_it() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b, c = await cluster.join("a", "b", "c")
        ears = Ears()
        await ears.listen(a, "news", group="g")
        await ears.listen(b, "weather", kind=Alarm, group="g")
        await ears.listen(c, "all", kind=Message, group="g")
        for number in range(40):
            await a.broadcast("news", Bulletin(number))
            await b.broadcast("news", Alarm(1000 + number))
        await cluster.until(lambda: len(ears.heard) == 80)
        assert set(ears.counts().values()) == {1}
        assert {who for who, number in ears.heard if number >= 1000} == {"weather", "all"}
        assert {who for who, number in ears.heard if number < 1000} == {"news", "all"}

    simulate(scenario)


def test_a_member_that_was_cut_off_is_a_member_again() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        ears = Ears()
        await ears.listen(a, "a", group="g")
        await ears.listen(b, "b", group="g")
        cluster.network.cut("b")
        await cluster.until(lambda: len(cluster.seen("b", BusConnected)) == 2)
        await publish(a, range(40))
        await cluster.until(lambda: len(ears.heard) == 40)
        assert ears.counts() == dict.fromkeys(range(40), 1)
        assert set(ears.shares()) == {"a", "b"}

    simulate(scenario)


def test_a_group_works_before_the_bus_has_joined_and_alone() -> None:
    async def scenario(cluster: Cluster) -> None:
        a = cluster.make("a")
        ears = Ears()
        listening = asyncio.ensure_future(ears.listen(a, "a", group="g"))
        await asyncio.sleep(0)
        await publish(a, range(5))
        await listening
        await cluster.until(lambda: len(ears.heard) == 5)
        assert set(ears.shares()) == {"a"}

    simulate(scenario)


def test_a_guest_is_in_no_group() -> None:
    async def scenario(cluster: Cluster) -> None:
        guest = cluster.make("guest", token=cluster.token("guest", node=False), trust="tokens")
        await guest.start()
        with pytest.raises(NotTrustedError):
            await guest.listen("news", Bulletin, lambda _news: None, group="g").ready

    simulate(scenario)


@pytest.mark.parametrize("group", ["", "x" * 101, "a\0b"])
def test_impossible_groups_and_reserved_topics_are_refused(group: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        with pytest.raises(InvalidNameError):
            a.listen("news", Bulletin, lambda _news: None, group=group)
        with pytest.raises(InvalidNameError):
            a.broadcast("~/7", Bulletin(1))

    simulate(scenario)


# -- many topics --------------------------------------------------------------------------------------------


def test_a_thousand_topics_fit_one_connection_and_every_message_arrives_once_where_it_should() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b, c = await cluster.join("a", "b", "c")
        heard: Counter[tuple[str, str, int]] = Counter()
        topics = [f"topic/{number}" for number in range(1000)]

        def ear(who: str, topic: str) -> Callable[[Bulletin], None]:
            def hear(news: Bulletin) -> None:
                heard[who, topic, news.number] += 1

            return hear

        listening = [b.listen(topic, Bulletin, ear("b", topic)) for topic in topics]
        listening += [c.listen(topic, Bulletin, ear("c", topic)) for topic in topics[::10]]
        for each in listening:
            await each.ready
        client = cluster.parts(b).uplink.client
        assert len(client.subscriptions) <= 100
        sent = [a.broadcast(topic, Bulletin(number)) for number, topic in enumerate(topics)]
        with pytest.raises(MailboxFullError):
            await a.broadcast("topic/nobody", Bulletin(0))
        for each in sent:
            await each
        await a.broadcast("topic/nobody", Bulletin(0))
        await cluster.until(lambda: sum(heard.values()) >= 1100)
        expected = {("b", topic, number) for number, topic in enumerate(topics)}
        expected |= {("c", topic, number) for number, topic in list(enumerate(topics))[::10]}
        assert heard == Counter(expected), "once each"
        for each in listening:
            each.cancel()
        await cluster.until(lambda: len(client.subscriptions) == 2)
        seats = [shared_seat(number) for number in range(SHARED_CHANNELS)]
        await cluster.until(lambda: not any(map(cluster.parts(a).membership.nodes.seated, seats)))
        assert all(len(cluster.seen(node, BusConnected)) == 1 for node in "abc"), "never too fast for the hub"

    simulate(scenario)


def test_many_topics_survive_a_cut_at_the_pace_of_a_default_hub() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        heard: Counter[str] = Counter()
        topics = [f"topic/{number}" for number in range(300)]
        for topic in topics:
            await b.listen(topic, Bulletin, lambda _news, topic=topic: heard.update([topic])).ready
        for bus in "ba":
            cluster.network.cut(bus)
        await cluster.until(lambda: all(len(cluster.seen(node, BusConnected)) == 2 for node in "ab"))
        await asyncio.gather(*[_done(a.broadcast(topic, Bulletin(0))) for topic in topics])
        await asyncio.gather(*[_done(b.broadcast(topic, Bulletin(0))) for topic in topics])
        await cluster.until(lambda: sum(heard.values()) >= 600)
        assert heard == Counter(topics * 2)
        assert all(len(cluster.seen(node, BusConnected)) == 2 for node in "ab"), "no further cut"

    async def _done(future: Any) -> None:
        await future

    simulate(scenario)


def test_a_hub_with_fewer_channels_makes_topics_share_sooner() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = cluster.make("a"), cluster.make("b")
        heard: Counter[str] = Counter()
        topics = [f"topic/{number}" for number in range(80)]
        listening = [
            b.listen(topic, Bulletin, lambda _news, topic=topic: heard.update([topic])) for topic in topics
        ]
        for bus in (a, b):
            await bus.start()
        for each in listening:
            await each.ready
        assert len(cluster.parts(b).uplink.client.subscriptions) <= 40
        for topic in topics:
            await a.broadcast(topic, Bulletin(0))
        await cluster.until(lambda: sum(heard.values()) >= 80)
        assert heard == Counter(topics)

    simulate(scenario, limits=Limits(channels_per_connection=40))


def test_topics_that_are_not_listened_to_any_more_while_cut_off_take_no_channel_later() -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        ears = Ears()
        listening = [await ears.listen(a, "a", f"topic/{number}") for number in range(10)]
        with cluster.network.refusing("a"):
            cluster.network.cut("a")
            await asyncio.sleep(0)
            for each in listening[1:]:
                each.cancel()
            listening.append(a.listen("more", Bulletin, lambda _news: None))
        await listening[-1].ready
        await cluster.until(lambda: len(cluster.parts(a).uplink.client.subscriptions) == 4, within=5)

    simulate(scenario)


def test_a_topic_keeps_its_channel_and_frees_it_with_its_last_listener() -> None:
    channels = TopicChannels("ns")
    room = DEFAULT_LIMIT - RESERVED_CHANNELS - SHARED_CHANNELS
    topics = [f"topic/{number}" for number in range(room + 200)]
    carriers = {topic: channels.add(topic)[0] for topic in topics}
    assert len(channels) <= DEFAULT_LIMIT - RESERVED_CHANNELS
    assert all(channels.carrier(topic) == carrier for topic, carrier in carriers.items())
    own = [topic for topic, carrier in carriers.items() if carrier.shared is None]
    assert own == topics[:room]
    assert [channels.topic(carriers[topic].channel) for topic in own] == own
    assert channels.limit(room) == own[room - RESERVED_CHANNELS - SHARED_CHANNELS :]
    assert channels.remove(own[0]) == (carriers[own[0]], True)
    freed = [channels.remove(topic)[1] for topic in topics[1:]]
    assert sum(freed) == room - 1 + SHARED_CHANNELS
    assert len(channels) == 0
    assert channels.carrier(topics[0]) is None


def test_all_nodes_put_a_topic_on_the_same_shared_channel() -> None:
    assert [shared_number(f"topic/{number}") for number in range(3)] == [18, 29, 12]
    spread = Counter(shared_number(f"topic/{number}") for number in range(3200))
    assert len(spread) == SHARED_CHANNELS
    assert max(spread.values()) < 150
