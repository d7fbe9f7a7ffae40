"""A node that was declared dead goes on as a new life: nothing of the old one is mistaken for its own."""

from __future__ import annotations

import asyncio

from agentbus.agents import Bus, Outcome
from agentbus.agents.agent import AsyncAgentActor
from agentbus.agents.events import NodeDead, NodeReborn, NodeUp
from agentbus.agents.handlers import handles
from agentbus.agents.message import Message
from agentbus.runtime import MailboxOptions, Overflow, virtual_sleep
from tests.agents.agents import Note, Sleep
from tests.agents.cluster import Cluster, simulate


class Nap(Message):
    seconds: float


class Sleeper(AsyncAgentActor):
    concurrency = 1

    def __init__(self) -> None:
        self.cut_off = 0

    @handles
    async def nap(self, message: Nap) -> None:
        await virtual_sleep(message.seconds)

    @handles
    async def sleep(self, message: Sleep) -> int:
        try:
            await virtual_sleep(message.seconds)
        except asyncio.CancelledError:
            self.cut_off += 1
            raise
        return 1

    @handles
    async def note(self, _message: Note) -> None:
        raise ValueError("as ordered")


async def _rebirth(cluster: Cluster, name: str) -> None:
    """Have a node declared dead, and wait until it has begun its new life."""
    other = next(bus.node for bus in cluster.buses if bus.node != name)
    with cluster.network.refusing(name):
        cluster.network.cut(name)
        await cluster.until(lambda: bool(cluster.seen(other, NodeDead)))
    ups = len(cluster.seen(other, NodeUp))
    await cluster.until(lambda: bool(cluster.seen(name, NodeReborn)))
    await cluster.until(lambda: len(cluster.seen(other, NodeUp)) > ups or ups > 1)


def test_what_an_old_life_took_settles_nothing_of_the_new() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("here", "there")
        there.spawn(Sleeper, name="sleeper")
        old = here.ref("there/sleeper").tell(Nap(60))
        await virtual_sleep(1)
        await _rebirth(cluster, "there")
        assert await old is Outcome.UNKNOWN
        new = [here.ref("there/sleeper").tell(Nap(10.0)) for _ in range(5)]
        assert cluster.loop.time() < 60
        await virtual_sleep(65 - cluster.loop.time())
        assert not any(each.done() for each in new), "the old one is done, the first of the new is not"
        await cluster.until(lambda: all(each.done() for each in new), within=120)

    simulate(scenario)


def test_who_was_declared_dead_works_for_nobody_s_old_asks() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("here", "there")
        there.spawn(Sleeper, name="sleeper")
        here.ref("there/sleeper").ask(Sleep(600)).quiet()
        await virtual_sleep(1)
        await _rebirth(cluster, "there")
        assert await here.ref("there/sleeper").ask(Sleep(1), timeout=30) == 1
        assert len(cluster.parts(there).reception.asked) == 0

    simulate(scenario)


def test_a_full_agent_holds_back_the_messages_of_the_new_life_too() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("here", "there")
        mailbox = MailboxOptions(capacity=1, overflow=Overflow.BLOCK)
        there.spawn(Sleeper, name="sleeper", mailbox=mailbox)
        for _ in range(5):
            here.ref("there/sleeper").tell(Nap(100))
        await virtual_sleep(1)
        await _rebirth(cluster, "there")
        here.ref("there/sleeper").tell(Nap(1))
        await virtual_sleep(5)
        assert _held(cluster, here, there) == 0
        here.ref("there/sleeper").tell(Nap(1))
        await virtual_sleep(5)
        assert _held(cluster, here, there) == 1

    simulate(scenario)


def _held(cluster: Cluster, here: Bus, there: Bus) -> int:
    link = cluster.parts(here).traffic.link(cluster.parts(there).membership.stamp)
    assert link is not None
    return link.queued
