"""A world for tests of agents: buses over a real hub, on virtual time, and a network with faults by name.

    async def scenario(world: World) -> None:
        one, two = await world.join("one", "two")
        ...
        with world.network.dropping(0.1, "two"):
            ...

    simulate(scenario, seeds=50)

Everything runs on one loop, chance comes from the seed: a seed that fails, fails again.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any

from agentbus.agents import Bus, NodeOptions
from agentbus.hub.core import HubConfig
from agentbus.runtime import Runtime, VirtualLoop, virtual_sleep
from agentbus.testing.hub import TEST_HUB, TEST_KEY, MemoryHub
from agentbus.testing.network import MemoryNetwork
from agentbus.testing.probe import Probe, ProbeError

LOOK_INTERVAL = 0.05
"""Seconds between looks at a condition."""


class World:
    """One virtual loop with a hub, a network, and the buses that the test adds.

    Args:
        loop: where all of it lives.
        seed: of every id, jitter and fault.
        hub: the hub's apps and limits; by default those of a default hub.

    Attributes:
        loop: see above.
        seed: see above.
        random: a source of chance for the scenario itself.
        runtime: of the buses.
        network: the faults: see `MemoryNetwork`; each bus dials under its node's name.
        hub: the hub that runs now.
        buses: those that were added, by node.
    """

    def __init__(self, loop: VirtualLoop, seed: int = 1, hub: HubConfig = TEST_HUB) -> None:
        self.loop = loop
        self.seed = seed
        self.random = Random(f"{seed}-scenario")
        self.runtime = Runtime(loop=loop, random=Random(seed), inline_callbacks=True)
        self.network = MemoryNetwork(loop, Random(seed))
        self.buses: dict[str, Bus] = {}
        self._config = hub
        self.hub = MemoryHub(self.network, self.runtime, hub)

    # -- buses -----------------------------------------------------------------------------------------------

    async def join(self, *nodes: str, options: NodeOptions | None = None) -> list[Bus]:
        """Start a bus for each node, one after another; they are closed with the world.

        Args:
            nodes: their ids, and their names on the network.
            options: times and limits.
        """
        return [await self._join(node, options) for node in nodes]

    async def _join(self, node: str, options: NodeOptions | None) -> Bus:
        bus = Bus(
            self.hub.url,
            api_key=TEST_KEY,
            node=node,
            trust="all",
            options=options,
            runtime=self.runtime,
            transport_factory=self.network.dialler(node),
        )
        self.buses[node] = bus
        await bus.start()
        return bus

    def probe(self, bus: Bus, name: str | None = None) -> Probe:
        """Put a probe on a bus."""
        return Probe(bus, name)

    # -- the hub ---------------------------------------------------------------------------------------------

    async def restart_hub(self, *, down: float = 1.0) -> None:
        """Stop the hub, and start another in its place.

        Args:
            down: seconds without a hub.
        """
        await self.hub.stop()
        await self.sleep(down)
        self.hub = MemoryHub(self.network, self.runtime, self._config)

    # -- time ------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds of virtual time."""
        return self.loop.time()

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass; it takes no real time but that of what happens meanwhile."""
        await virtual_sleep(seconds)

    async def until(self, condition: Callable[[], object], *, within: float = 60.0) -> None:
        """Let time pass until something holds.

        Raises:
            ProbeError: it does not within so many seconds.
        """
        end = self.loop.time() + within
        while not condition():
            if self.loop.time() >= end:
                raise ProbeError(f"{_name(condition)} did not come to hold within {within} s")
            await virtual_sleep(LOOK_INTERVAL)

    async def close(self) -> None:
        """Close the buses and stop the hub."""
        for bus in self.buses.values():
            await bus.close()
        await self.hub.stop()


Scenario = Callable[[World], Coroutine[Any, Any, object]]


def simulate(scenario: Scenario, seeds: int | Iterable[int] = 1, *, hub: HubConfig = TEST_HUB) -> None:
    """Run a scenario in a new world for each seed.

    Args:
        scenario: `async def scenario(world)`; it asserts what it expects.
        seeds: how many, from 1, or which.
        hub: the hub's apps and limits.

    Raises:
        Exception: what the scenario, or anything in its world, raised, with a note that names the seed.
    """
    for seed in range(1, seeds + 1) if isinstance(seeds, int) else seeds:
        try:
            _play(scenario, seed, hub)
        except BaseException as error:
            error.add_note(f"with seed {seed}; again: simulate({_name(scenario)}, seeds=[{seed}])")
            raise


def _play(scenario: Scenario, seed: int, hub: HubConfig) -> None:
    with VirtualLoop() as loop:
        loop.run_until_complete(_live(World(loop, seed, hub), scenario))


async def _live(world: World, scenario: Scenario) -> None:
    try:
        await scenario(world)
    finally:
        await world.close()


def _name(function: object) -> str:
    return getattr(function, "__name__", "the condition")
