"""Buses at different hubs of a cluster: agents find, ask and watch each other as over one hub."""

from __future__ import annotations

from dataclasses import dataclass

from agentbus.agents import AgentRef, AsyncAgentActor, Bus, Request, handles
from agentbus.hub.backplane.memory import MemoryExchange
from agentbus.hub.core.cluster import ClusterTimes
from agentbus.testing import World, simulate
from agentbus.testing.hub import TEST_KEY, MemoryHub

ELSEWHERE = "ws://127.0.0.1"
OUTAGE = ClusterTimes().lease * 2


class Add(Request[int], wire_name="many_hubs.Add"):
    number: int


class Adder(AsyncAgentActor):
    public = True

    def __init__(self) -> None:
        self.total = 0

    @handles
    def add(self, message: Add) -> int:
        self.total += message.number
        return self.total


@dataclass
class Two:
    """Two hubs that are one, with a bus at each."""

    world: World
    exchange: MemoryExchange
    here: Bus
    there: Bus

    @classmethod
    async def made_in(cls, world: World) -> Two:
        exchange = MemoryExchange(world.loop.call_soon)
        other = MemoryHub(world.network, world.runtime, url=ELSEWHERE)
        await world.hub.join(exchange, "one")
        await other.join(exchange, "two")
        [here] = await world.join("here")
        there = Bus(
            ELSEWHERE,
            api_key=TEST_KEY,
            node="there",
            trust="all",
            runtime=world.runtime,
            transport_factory=world.network.dialler("there"),
        )
        world.buses["there"] = there
        await there.start()
        return cls(world, exchange, here, there)

    async def found(self, name: str) -> AgentRef:
        """Wait until this side knows an agent."""
        await self.world.until(lambda: self.here.find(name=name))
        return self.here.find(name=name)[0]


def test_an_agent_at_another_hub_is_found_and_answers_in_order() -> None:
    async def scenario(world: World) -> None:
        two = await Two.made_in(world)
        two.there.spawn(Adder, name="adder")
        adder = await two.found("adder")
        answers = [adder.ask(Add(number=number)) for number in range(50)]
        assert [await answer for answer in answers] == [sum(range(n + 1)) for n in range(50)]

    simulate(scenario, seeds=5)


def test_nothing_is_lost_or_doubled_over_an_outage_of_the_backplane() -> None:
    async def scenario(world: World) -> None:
        two = await Two.made_in(world)
        two.there.spawn(Adder, name="adder")
        adder = await two.found("adder")
        before = [adder.ask(Add(number=1), timeout=300.0) for _ in range(20)]
        two.exchange.take_away()
        during = [adder.ask(Add(number=1), timeout=300.0) for _ in range(20)]
        await world.sleep(OUTAGE * world.random.random())
        two.exchange.bring_back()
        after = [adder.ask(Add(number=1), timeout=300.0) for _ in range(20)]
        assert [await answer for answer in (*before, *during, *after)] == list(range(1, 61))

    simulate(scenario, seeds=10)
