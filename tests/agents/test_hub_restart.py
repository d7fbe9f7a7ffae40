"""A hub restart under eighty nodes: all are back soon, nothing that lives is taken for dead."""

from __future__ import annotations

import pytest

from agentbus.agents import (
    AgentDown,
    AgentEnded,
    AsyncAgentActor,
    Bus,
    BusConnected,
    NodeDead,
    Request,
    handles,
)
from agentbus.hub.core import Limits
from tests.agents.cluster import Cluster, simulate

NODES = 80


class Start(Request[str]):
    """Start a child."""


class Here(Request[str]):
    """Say your name."""


class Child(AsyncAgentActor):
    @handles
    async def here(self, _message: Here) -> str:
        return self.name


class Parent(Child):
    @handles
    async def start(self, _message: Start) -> str:
        return str(self.spawn(Child, name=f"{self.name}-child"))


async def restart_hub(cluster: Cluster) -> None:
    await cluster.shell.shutdown(0.0)
    cluster.start_hub()


def reconnects(cluster: Cluster, bus: Bus) -> int:
    return sum(event.reconnected for event in cluster.seen(bus.node, BusConnected))


async def scenario_of(cluster: Cluster, nodes: int, within: float) -> None:
    buses = await cluster.join(*(f"n{number}" for number in range(nodes)))
    children: list[str] = []
    for number, bus in enumerate(buses):
        children.append(await bus.spawn(Parent, name=f"p{number}").ask(Start()))
    downs: list[AgentDown] = []
    for number, bus in enumerate(buses):
        bus.ref(children[(number + 1) % nodes]).watch(downs.append)
    await buses[0].wait_for(name=f"p{nodes - 1}-child")
    await restart_hub(cluster)
    await cluster.until(lambda: all(reconnects(cluster, bus) for bus in buses), within=within)
    for number, bus in enumerate(buses):
        child = bus.ref(children[(number + 1) % nodes])
        assert await child.ask(Here(), timeout=within) == child.name
    assert downs == []
    for bus in buses:
        assert cluster.seen(bus.node, NodeDead) == cluster.seen(bus.node, AgentEnded) == []


def test_all_are_back_within_thirty_seconds_and_nobody_is_taken_for_dead() -> None:
    async def scenario(cluster: Cluster) -> None:
        await scenario_of(cluster, NODES, within=30.0)

    simulate(scenario, limits=Limits(connects_per_minute_per_address=0))


@pytest.mark.slow
def test_with_default_limits_all_are_back_too_but_later() -> None:
    async def scenario(cluster: Cluster) -> None:
        buses = await cluster.join(*(f"n{number}" for number in range(NODES)))
        for bus in buses:
            bus.spawn(Child, name=f"child-of-{bus.node}")
        await buses[0].wait_for(name=f"child-of-{buses[-1].node}")
        await restart_hub(cluster)
        await cluster.until(lambda: all(reconnects(cluster, bus) for bus in buses), within=240.0)
        for bus, other in zip(buses, reversed(buses), strict=True):
            (ref,) = await bus.wait_for(name=f"child-of-{other.node}")
            assert await ref.ask(Here(), timeout=60.0) == ref.name

    simulate(scenario)
