"""Buffers of a node that no other page tests at their limit: each has one, and says what happens there."""

from __future__ import annotations

import asyncio

import pytest

from agentbus.agents import AsyncAgentActor, Bus, Message, Outcome, Request, handles
from agentbus.agents.address import Address
from agentbus.agents.calls import Parcel
from agentbus.agents.deadlines import Deadlines
from agentbus.agents.envelope import NOTHING, Kind, Stamp
from agentbus.agents.events import DeathReason, NodeSuspect
from agentbus.agents.guests import MAX_GUESTS, MAX_SILENCE, Guests
from agentbus.agents.headers import Headers
from agentbus.agents.limbo import Limbo
from agentbus.agents.link_queue import LinkOptions
from agentbus.agents.link_sender import MAX_REPORTS, LinkSender
from agentbus.agents.liveness import Liveness, LivenessOptions
from agentbus.agents.node_parts import NodeOptions
from agentbus.agents.nodes import NodeState, NodeTable
from agentbus.agents.post import MAX_UNUSED
from agentbus.agents.strangers import Strangers
from agentbus.agents.traffic import Traffic
from agentbus.agents.watching import AgentDown
from agentbus.errors import MailboxFullError
from agentbus.protocol.pacer import Pace, Pacer
from agentbus.runtime import Future, HostedLoop, VirtualLoop
from tests.agents.cluster import Cluster, simulate

FRAME = 60_000


class Ping(Message, wire_name="limits.Ping"):
    pass


class Wait(Request[bool], wire_name="limits.Wait"):
    """Answered once the gate is open."""


class Gate(AsyncAgentActor):
    """Lets nobody pass until its gate is open."""

    concurrency = 100

    def __init__(self, gate: asyncio.Event) -> None:
        self.gate = gate

    @handles
    async def on_wait(self, _request: Wait) -> bool:
        return await self.gate.wait()

    @handles
    def on_ping(self, _message: Ping) -> None:
        """Take it."""


def parcel(deadline: float | None = None) -> Parcel:
    return Parcel(Address("ns", "node", "agent"), Kind.TELL, NOTHING, headers=Headers(None, deadline))


def test_what_waits_for_the_directory_is_bounded_and_expires_in_time() -> None:
    limbo = Limbo(capacity=3)
    kept = [limbo.put(parcel(deadline), 0.0) for deadline in (5.0, None, 7.0, 9.0)]
    assert kept == [True, True, True, False]
    assert limbo.next_deadline() == 5.0
    assert [late.headers.deadline for late in limbo.take_late(6.0)] == [5.0]
    assert [left.headers.deadline for left in limbo.take()] == [None, 7.0]
    assert len(limbo) == 0


def test_one_connection_cannot_bring_guests_without_end() -> None:
    guests = Guests()
    let_in = [guests.heard(Stamp(f"guest{number}", "1"), "peer", 0.0) for number in range(3 * MAX_GUESTS)]
    assert let_in.count(True) == len(guests) == 2 * MAX_GUESTS
    assert guests.heard(Stamp("guest0", "1"), "peer", 1.0), "who is known goes on"
    assert len(guests.take_gone(1.0)) == MAX_GUESTS
    assert len(guests.take_gone(2.0 + MAX_SILENCE)) == MAX_GUESTS


def test_receipts_wait_as_runs_and_the_oldest_of_too_many_are_forgotten() -> None:
    sender = LinkSender(LinkOptions())
    for number in range(1, 50_001):
        sender.report(number, Outcome.DELIVERED)
    found = sender.next_item(FRAME, FRAME, 0.0)
    assert found is not None
    assert found[0].receipts == ((1, 50_000, 0),)
    for number in range(1, 200_001, 2):
        sender.report(number, Outcome.DELIVERED)
    runs = list(every_receipt(sender))
    assert MAX_REPORTS <= len(runs) <= 3 * MAX_REPORTS
    assert runs[-1] == (199_999, 199_999, 0)


def every_receipt(sender: LinkSender) -> list[tuple[int, int, int]]:
    runs: list[tuple[int, int, int]] = []
    while (found := sender.next_item(FRAME, FRAME, 0.0)) is not None:
        runs += found[0].receipts
        sender.acked(found[0].sequence)
    return runs


def test_broadcasts_that_wait_for_a_connection_are_bounded() -> None:
    traffic = Traffic(Pacer(Pace(), 0.0), lambda _stamp: None, 2000, max_casts=2)
    for _ in range(2):
        traffic.cast({"topic": b"{}"}, [None])
    with pytest.raises(MailboxFullError):
        traffic.cast({"topic": b"{}"}, [None])
    assert len(traffic.take_casts()) == 2


def test_asks_without_a_reply_are_bounded() -> None:
    async def scenario(cluster: Cluster) -> None:
        options = NodeOptions(link=LinkOptions(max_asks=5))
        one, two = await cluster.join("one", "two", options=options)
        gate = asyncio.Event()
        two.spawn(Gate, gate, name="gate")
        asked = [one.ref("two/gate").ask(Wait()) for _ in range(5)]
        with pytest.raises(MailboxFullError):
            await one.ref("two/gate").ask(Wait())
        gate.set()
        assert all([await reply for reply in asked])
        assert await one.ref("two/gate").ask(Wait()), "there is room again"

    simulate(scenario)


def test_a_loop_that_outruns_the_node_is_refused() -> None:
    async def scenario(cluster: Cluster) -> None:
        options = NodeOptions(link=LinkOptions(capacity=10))
        one, two = await cluster.join("one", "two", options=options)
        two.spawn(Gate, asyncio.Event(), name="gate")
        gate = one.ref("two/gate")
        told = [gate.tell(Ping()) for _ in range(150)]
        assert [outcome.done() for outcome in told] == [False] * 100 + [True] * 50
        with pytest.raises(MailboxFullError):
            await gate.ask(Wait())
        fates = [await outcome for outcome in told]
        assert fates.count(Outcome.DEAD_LETTERED) == one.dead_letters.count

    simulate(scenario)


def test_permits_of_agents_that_nothing_is_under_way_to_are_forgotten() -> None:
    with Bus() as bus:
        for number in range(4 * MAX_UNUSED):
            assert bus.ref(f"nowhere/agent{number}").tell(Ping()).get(timeout=10) is Outcome.DEAD_LETTERED
        assert len(bus._post._permits) <= MAX_UNUSED + 2  # pyright: ignore[reportPrivateUsage] -- what is left there


def test_watching_again_and_again_leaves_one_watch() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        ref = two.spawn(Gate, asyncio.Event(), name="gate")
        seen: list[AgentDown] = []
        for _ in range(50):
            watch = one.ref("two/gate").watch(seen.append)
            await one.ref("two/gate").tell(Ping())
            watch.cancel()
        one.ref("two/gate").watch(seen.append)
        await one.ref("two/gate").tell(Ping())
        reception = cluster.parts(two).reception
        assert len(reception._followed) == len(reception._watchers) == 1  # pyright: ignore[reportPrivateUsage] -- likewise
        await ref.stop()
        await cluster.until(lambda: len(seen) > 0)
        assert [down.reason for down in seen] == ["ended"]
        assert not reception._followed  # pyright: ignore[reportPrivateUsage] -- nothing may be left

    simulate(scenario)


def test_what_never_left_for_one_life_goes_to_the_next() -> None:
    async def scenario(cluster: Cluster) -> None:
        (one,) = await cluster.join("one")
        (two,) = await cluster.join("two", client="two-a")
        two.spawn(Gate, asyncio.Event(), name="gate")
        await one.ref("two/gate").tell(Ping())
        with cluster.network.refusing("two-a"):
            cluster.network.cut("two-a")
            await cluster.until(lambda: len(cluster.seen("one", NodeSuspect)) == 1)
            told = [one.ref("two/gate").tell(Ping()) for _ in range(20)]
            again = cluster.make("two", client="two-b")
            again.spawn(Gate, asyncio.Event(), name="gate")
            await again.start()
            assert {await outcome for outcome in told} <= {Outcome.DELIVERED}
        assert cluster.parts(one).exchange.lives.orphans == 0

    simulate(scenario)


def test_lives_that_are_over_are_forgotten_oldest_first() -> None:
    table = NodeTable("ns", 10, 10)
    liveness = Liveness(table, "own", LivenessOptions(max_dead=2), lambda _effect: None, 0.0)
    stamps = [Stamp("node", str(number)) for number in range(3)]
    for stamp in stamps:
        record = table.enter(stamp, "peer", NodeState.ALIVE, 0.0)
        assert record is not None
        liveness.declare_dead(record, DeathReason.GOODBYE)
    assert [liveness.is_dead(stamp) for stamp in stamps] == [False, True, True]


def test_strangers_beyond_the_limit_are_not_asked() -> None:
    strangers = Strangers(1.0, 2, capacity=2)
    for peer in ("a", "b", "c"):
        strangers.seen(peer, 0.0)
    assert list(strangers.to_ask(1.0)) == ["a", "b"]


def test_deadlines_of_answered_asks_are_swept() -> None:
    with VirtualLoop() as loop:
        deadlines = Deadlines(HostedLoop(loop))

        async def ask_often() -> None:
            for _ in range(10_000):
                future: Future[None] = Future()
                deadlines.add(future, loop.time() + 60)
                future.set(None)

        loop.run_until_complete(ask_often())
        assert len(deadlines) < 2000
        deadlines.clear()
