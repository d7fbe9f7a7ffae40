"""What a peer without a node's token can do to a node that trusts tokens: ask public agents, no more."""

from __future__ import annotations

import asyncio
import math
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from agentbus.agents.agent import AsyncAgentActor
from agentbus.agents.budgets.wire import Grant
from agentbus.agents.bus import Bus
from agentbus.agents.calls import Ask, Parcel
from agentbus.agents.envelope import Envelope
from agentbus.agents.handlers import handles
from agentbus.agents.link_queue import LinkOptions
from agentbus.agents.node_parts import NodeOptions
from agentbus.agents.outcome import Outcome
from agentbus.errors import OutcomeUnknownError
from agentbus.runtime import Future, MailboxOptions, Overflow, virtual_sleep
from tests.agents.agents import Echo, Note, Sleep, Text, Worker
from tests.agents.cluster import Cluster, simulate


class Open(Worker):
    public = True
    concurrency = 9


class Desk(AsyncAgentActor):
    """Can be entered while it waits, by who is part of what it waits for."""

    public = True
    reentrant = True

    def __init__(self) -> None:
        self.log: list[str] = []

    @handles
    async def sleep(self, message: Sleep) -> int:
        await virtual_sleep(message.seconds)
        self.log.append("slept")
        return 1

    @handles
    async def echo(self, message: Echo) -> Text:
        self.log.append(message.text)
        return Text(message.text)


class Spender(AsyncAgentActor):
    public = True

    @handles
    async def echo(self, message: Echo) -> Text:
        return await self.bus.ref("other/open").ask(message)


async def _pair(cluster: Cluster) -> tuple[Bus, Bus]:
    (node,) = await cluster.join("node", trust="tokens", token=cluster.token("node"))
    (guest,) = await cluster.join("guest", trust="tokens", token=cluster.token("guest", node=False))
    return node, guest


class Forged(Parcel, frozen=True):
    """A parcel whose envelope says more than its sender may."""

    claims: Any = None

    def envelope(self, number: str) -> Envelope:
        return msgspec.structs.replace(super().envelope(number), **self.claims)


def _forge(guest: Bus, to: str, message: Any, **claims: Any) -> Future[Any]:
    ask = Ask(Future(), message)
    body = msgspec.Raw(msgspec.json.encode(message))
    address = guest.ref(to).address
    parcel = Forged(
        address, "ask", body, message.__wire_name__, message.__wire_version__, call=ask, claims=claims
    )
    guest._node.tell(parcel)  # pyright: ignore[reportPrivateUsage] -- what no program can send
    return ask.future


@pytest.mark.parametrize("money", ["1E+999999", "1E+900000", "-1E+999999", "NaN", "1E-999999"])
def test_an_amount_of_money_that_is_none_ends_nothing(money: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        node, guest = await _pair(cluster)
        node.spawn(Open, name="open")
        _forge(guest, "node/open", Echo("x"), budget=Grant(money=Decimal(money))).quiet()
        assert await guest.ref("node/open").ask(Echo("y"), timeout=5) == Text("y")

    simulate(scenario)


def test_more_tokens_than_there_can_be_end_nothing() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, guest = await _pair(cluster)
        (other,) = await cluster.join("other", trust="tokens", token=cluster.token("other"))
        other.spawn(Open, name="open")
        node.spawn(Spender, name="spender")
        asked = _forge(guest, "node/spender", Echo("x"), budget=Grant(tokens=1 << 62)).quiet()
        assert await asked == Text("x")
        assert await guest.ref("node/spender").ask(Echo("y"), timeout=5) == Text("y")

    simulate(scenario)


def test_a_forged_chain_lets_nobody_in() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, guest = await _pair(cluster)
        desk = node.spawn(Desk, name="desk")
        sleeping = desk.ask(Sleep(5))
        await virtual_sleep(1)
        asked = _forge(guest, "node/desk", Echo("in"), chain=((str(desk), "1"),), sender=str(desk))
        await virtual_sleep(1)
        assert not asked.done(), "it waits for its turn"
        await sleeping
        assert await asked == Text("in")

    simulate(scenario)


def test_guests_leave_room_for_what_nodes_send_to_full_agents() -> None:
    async def scenario(cluster: Cluster) -> None:
        few = NodeOptions(link=LinkOptions(max_parked_bytes=20_000))
        (node,) = await cluster.join("node", trust="tokens", token=cluster.token("node"), options=few)
        (guest,) = await cluster.join("guest", trust="tokens", token=cluster.token("guest", node=False))
        (other,) = await cluster.join("other", trust="tokens", token=cluster.token("other"))
        mailbox = MailboxOptions(capacity=1, overflow=Overflow.BLOCK)
        node.spawn(Desk, name="open", mailbox=mailbox)
        node.spawn(Worker, name="closed", mailbox=mailbox)
        guest.ref("node/open").tell(Sleep(1000))
        for _ in range(40):
            guest.ref("node/open").ask(Echo("x" * 1000)).quiet()
        await virtual_sleep(3)
        assert 0 < cluster.parts(node).parking.bytes <= 5000
        assert await asyncio.gather(*(other.ref("node/closed").ask(Sleep(5)) for _ in range(5))) == [1] * 5

    simulate(scenario)


async def _pass(cluster: Cluster, seconds: int) -> None:
    """Let time pass in which the node has something to do."""
    (other,) = await cluster.join("other", trust="tokens", token=cluster.token("other"))
    for _ in range(seconds // 10):
        await other.ref("node/open").ask(Echo("z"), timeout=5)
        await virtual_sleep(10)


def test_a_guest_that_was_silent_for_long_is_heard_again() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, guest = await _pair(cluster)
        node.spawn(Open, name="open")
        assert await guest.ref("node/open").ask(Echo("x"), timeout=5) == Text("x")
        await _pass(cluster, 200)
        assert await guest.ref("node/open").ask(Echo("y"), timeout=5) == Text("y")

    simulate(scenario)


def test_a_guest_that_was_cut_off_for_long_begins_a_new_life() -> None:
    async def scenario(cluster: Cluster) -> None:
        node, guest = await _pair(cluster)
        node.spawn(Open, name="open")
        sleeping = guest.ref("node/open").ask(Sleep(900))
        assert await guest.ref("node/open").tell(Note(1)) is Outcome.DELIVERED
        with cluster.network.refusing("guest"):
            cluster.network.cut("guest")
            await _pass(cluster, 200)
            assert len(cluster.parts(node).reception.asked) == 0
        with pytest.raises(OutcomeUnknownError):
            await sleeping
        assert await guest.ref("node/open").ask(Echo("y"), timeout=5) == Text("y")

    simulate(scenario)


@pytest.mark.parametrize("seconds", [math.inf, 1e308, 1e300])
def test_a_deadline_that_never_comes_is_none(seconds: float) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        two.spawn(Open, name="open")
        assert await one.ref("two/open").ask(Echo("x"), timeout=seconds) == Text("x")
        assert await one.ref("two/open").ask(Echo("y"), timeout=5) == Text("y")

    simulate(scenario)
