"""What guests, peers without a node's token, have of a node: a part each, and their own name and keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agentbus.agents import AsyncAgentActor, Bus, MemoryStore, Message, Request, SqliteStore, handles
from agentbus.agents.address import parse_address
from agentbus.agents.envelope import Envelope, Kind
from agentbus.agents.guests import as_guest, guest_key
from agentbus.agents.headers import MAX_KEY
from agentbus.agents.lives.store import Answer, Commit, Store
from agentbus.agents.tombstones import MAX_OF_ONE_GUEST
from agentbus.errors import MailboxFullError
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate

STORES: list[Callable[[Path], Store]] = [
    lambda _folder: MemoryStore(journal_size=8),
    lambda folder: SqliteStore(folder / "state.db", journal_size=8),
]


class Forever(Message):
    """Chunks without an end."""


class Add(Request[int]):
    amount: int


class WhoAsks(Request[str | None]):
    pass


class Open(AsyncAgentActor):
    public = True
    concurrency = 100

    @handles
    async def forever(self, _message: Forever) -> AsyncIterator[int]:
        number = 0
        while True:
            yield (number := number + 1)

    @handles
    async def who(self, _message: WhoAsks) -> str | None:
        return None if self.sender is None else str(self.sender)


class Ledger(AsyncAgentActor):
    public = True
    total = 0

    def snapshot(self) -> int:
        return self.total

    def restore(self, state: int) -> None:
        self.total = state

    @handles
    async def add(self, message: Add) -> int:
        self.total += message.amount
        return self.total


class Asker(AsyncAgentActor):
    def __init__(self, target: str) -> None:
        self.target = target

    @handles
    async def who(self, message: WhoAsks) -> str | None:
        return await self.bus.ref(self.target).ask(message)


async def joined(cluster: Cluster, name: str, **options: Any) -> Bus:
    node = options.pop("node", True)
    (bus,) = await cluster.join(
        name, trust="tokens", token=cluster.token(options.pop("subject", name), node=node), **options
    )
    return bus


async def guest_of(cluster: Cluster, name: str, **options: Any) -> Bus:
    return await joined(cluster, name, node=False, **options)


def test_guests_leave_streams_for_nodes_and_one_guest_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentbus.agents.streams.desk.MAX_SERVED", 80)

    async def scenario(cluster: Cluster) -> None:
        node, other = await joined(cluster, "node"), await joined(cluster, "other")
        greedy, modest = await guest_of(cluster, "greedy"), await guest_of(cluster, "modest")
        node.spawn(Open, name="open")
        of_greedy = [greedy.ref("node/open").stream(Forever(), credit=1) for _ in range(20)]
        await cluster.until(lambda: sum(stream.received for stream in of_greedy) == 2)
        with pytest.raises(MailboxFullError):
            [_ async for _ in of_greedy[-1]]
        for bus, count in ((modest, 2), (other, 60)):
            streams = [bus.ref("node/open").stream(Forever(), credit=1) for _ in range(count)]
            for stream in streams:
                assert await anext(stream) == 1
            for stream in streams:
                stream.cancel()
        for stream in of_greedy:
            stream.cancel()
        await cluster.until(lambda: cluster.parts(node).streams.serving == 0)
        assert await anext(greedy.ref("node/open").stream(Forever(), credit=1)) == 1

    simulate(scenario)


def test_a_guest_neither_gets_nor_spoils_what_another_is_answered_under_the_same_key() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, other = await joined(cluster, "node"), await joined(cluster, "other")
        one, two = await guest_of(cluster, "one"), await guest_of(cluster, "two")
        node.spawn(Ledger, name="ledger", store=MemoryStore())
        totals = [
            await bus.ref("node/ledger").ask(Add(1), key="order-1")
            for bus in (one, two, other, one, two, other)
        ]
        assert totals == [1, 2, 3, 1, 2, 3]
        assert await node.ref("ledger").ask(Add(1), key="order-1") == 3, "nodes are one another's friends"

    simulate(scenario)


def test_the_same_key_of_a_node_or_guest_that_has_started_again_is_answered_as_before() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = await joined(cluster, "node")
        node.spawn(Ledger, name="ledger", store=MemoryStore())
        for join, first in ((joined, 1), (guest_of, 2)):
            for life in ("first", "second"):
                bus = await join(cluster, "asker", client=f"{join.__name__} {life}")
                assert await bus.ref("node/ledger").ask(Add(1), key="order-1", timeout=30) == first
                await bus.close()

    simulate(scenario)


@pytest.mark.parametrize("store", STORES)
def test_keys_of_guests_push_out_none_of_others(store: Callable[[Path], Store], tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.commit(Commit("a", b"1", "order-1", Answer())).get(timeout=9)
    for number in range(20):
        kept.commit(Commit("a", b"1", guest_key("guest", str(number)), Answer())).get(timeout=9)
    assert kept.find("a", "order-1").get(timeout=9) is not None
    found = [kept.find("a", guest_key("guest", str(number))).get(timeout=9) for number in range(20)]
    assert [answer is not None for answer in found] == [False] * 18 + [True] * 2
    kept.forget("a").get(timeout=9)
    assert kept.find("a", guest_key("guest", "19")).get(timeout=9) is None
    kept.close().get(timeout=9)


def test_no_key_of_a_node_is_taken_for_a_guest_s() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("node")
        with pytest.raises(ValueError, match="guest:"):
            bus.ref("ledger").ask(Add(1), key="guest:order-1")

    simulate(scenario)


def test_the_sender_of_what_a_guest_sends_is_that_guest() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, guest = await joined(cluster, "node"), await guest_of(cluster, "billing", subject="mallory")
        node.spawn(Open, name="open")
        assert await guest.ref("node/open").ask(WhoAsks()) == "default/guest:mallory/guest"
        asker = guest.spawn(Asker, "node/open", name="clerk")
        assert await asker.ask(WhoAsks()) == "default/guest:mallory/clerk"
        assert await node.spawn(Asker, "open", name="clerk").ask(WhoAsks()) == "default/node/clerk"

    simulate(scenario)


@pytest.mark.parametrize("claimed", [None, "default/node/desk", "desk", "a/b/c/d", "", "default//"])
@pytest.mark.parametrize("peer", ["mallory", "a/b%\n", "p" * 300, "\udcff", "ü" * 60, ""])
def test_whatever_a_guest_claims_its_address_is_its_own(peer: str, claimed: str | None) -> None:
    envelope = Envelope("1", Kind.ASK, "open", claimed, chain=(("default/node/desk", "1"),), key="k" * 999)
    tamed = as_guest(envelope, "default", peer)
    assert tamed.sender is not None
    address = parse_address(tamed.sender, namespace="default", node="node")
    assert address.node.startswith("guest:")
    assert address.agent in {"guest", "desk"}
    assert tamed.chain == ()
    assert tamed.key is not None
    assert len(tamed.key) < MAX_KEY


def test_a_guest_s_cancels_push_out_none_of_nodes() -> None:
    async def scenario(cluster: Cluster) -> None:
        node = await joined(cluster, "node")
        guest = await guest_of(cluster, "guest")
        node.spawn(Open, name="open")
        await guest.ref("node/open").ask(WhoAsks())
        parts = cluster.parts(guest)
        there = cluster.parts(node).membership.stamp
        for number in range(3 * MAX_OF_ONE_GUEST):
            parts.exchange.answer(there, Envelope("", Kind.CANCEL, correlation=f"x{number}"), None, None)
        await guest.ref("node/open").ask(WhoAsks())
        await virtual_sleep(1.0)
        assert cluster.parts(node).reception.asked.tombstones == MAX_OF_ONE_GUEST

    simulate(scenario)
