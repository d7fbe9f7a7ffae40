"""Several buses on one virtual loop, over a real hub core and a network whose faults the test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from agentbus.agents.bus import Bus
from agentbus.agents.events import BusEvent
from agentbus.agents.node_parts import NodeOptions, NodeParts
from agentbus.agents.post import PostOffice
from agentbus.agents.trust import TrustMode
from agentbus.hub.core import AppConfig, HubConfig, Limits, PublishableKey, SecretKey
from agentbus.hub.server.session import SessionHandler
from agentbus.hub.server.shell import HubShell
from agentbus.hub.server.tokens import TokenKeys, mint
from agentbus.runtime import HostedLoop, Runtime, VirtualLoop, virtual_sleep
from agentbus.testing.network import MemoryNetwork
from agentbus.wire.server import ServerConnection

T = TypeVar("T")
ORIGIN = "ws://localhost"
KEY = "pk_live_test"
SECRET_ID, SECRET = "sk_id_test", "sk_secret_test_0123456789abcdef0123456789"


class Cluster:
    """A hub with default limits, a network, and the buses that a test adds."""

    def __init__(self, loop: VirtualLoop, *, seed: int = 1, limits: Limits | None = None) -> None:
        self.loop = loop
        self.random = Random(seed)
        self.network = MemoryNetwork(loop, Random(seed))
        self.runtime = Runtime(loop=loop, random=Random(seed), inline_callbacks=True)
        self._hosted = HostedLoop(loop)
        key = PublishableKey(key=KEY, channel_patterns=("**",))
        secret = SecretKey(id=SECRET_ID, secret=SECRET)
        app = AppConfig(id="test", publishable_keys=(key,), secret_keys=(secret,))
        self.config = HubConfig(apps=(app,), limits=limits or Limits())
        self.shell = self.start_hub()
        self.buses: list[Bus] = []
        self.events: dict[str, list[BusEvent]] = {}

    def start_hub(self) -> HubShell:
        """Start a hub, or a new one in place of the old."""
        shell = HubShell(
            self.config,
            loop=self._hosted,
            new_id=self.runtime.new_id,
            verify=TokenKeys.of(self.config).verify,
        )
        self.network.listen(
            ORIGIN, lambda: ServerConnection(SessionHandler(shell), shell.flusher, shell.options)
        )
        self.shell = shell
        return shell

    def make(
        self,
        node: str,
        *,
        client: str | None = None,
        token: Callable[[], str] | None = None,
        trust: TrustMode = "all",
        options: NodeOptions | None = None,
    ) -> Bus:
        """Make a bus that is not started; `client` is its name on the network."""
        bus = Bus(
            ORIGIN,
            api_key=None if token else KEY,
            token_provider=token,
            node=node,
            trust=trust,
            options=options,
            runtime=self.runtime,
            transport_factory=self.network.dialler(client or node),
        )
        self.buses.append(bus)
        seen: list[BusEvent] = []
        self.events[client or node] = seen
        bus.events.attach(seen.append)
        return bus

    async def join(self, *nodes: str, **options: Any) -> list[Bus]:
        """Start several buses."""
        buses = [self.make(node, **options) for node in nodes]
        await asyncio.gather(*(_wait(bus.start()) for bus in buses))
        return buses

    def token(self, subject: str, *, node: bool = True, **claims: Any) -> Callable[[], str]:
        """Give a token provider, with or without the role of a node."""
        metadata = {"agentbus": {"ns": ["default"], "role": "node"}} if node else {"name": subject}

        def mint_one() -> str:
            return mint(
                SECRET_ID,
                SECRET,
                subject=subject,
                issued_at=self.loop.clock.wall(),
                peer_metadata=metadata,
                **claims,
            )

        return mint_one

    def parts(self, bus: Bus) -> NodeParts:
        """Look behind a bus: what is left there is what is tested."""
        parts = bus._node.parts  # pyright: ignore[reportPrivateUsage] -- no program is to look there
        assert parts is not None
        return parts

    def seen(self, client: str, kind: type[BusEvent]) -> list[Any]:
        """Give the events of a kind that a bus has reported."""
        return [event for event in self.events[client] if isinstance(event, kind)]

    async def until(self, condition: Callable[[], bool], within: float = 60.0) -> None:
        """Let time pass until something holds."""
        end = self.loop.time() + within
        while not condition():
            assert self.loop.time() < end, f"not within {within} s of virtual time"
            await virtual_sleep(0.05)

    async def close(self) -> None:
        """Close every bus."""
        for bus in self.buses:
            await bus.close()


def post_of(bus: Bus) -> PostOffice:
    """Look behind the sending side of a bus: what is left there is what is tested."""
    return bus._post  # pyright: ignore[reportPrivateUsage] -- no program is to look there


async def _wait(future: Any) -> Any:
    return await future


def simulate(
    scenario: Callable[[Cluster], Coroutine[Any, Any, T]], *, seed: int = 1, limits: Limits | None = None
) -> T:
    """Run a scenario on virtual time to its end, and check that nothing failed on the way."""
    with VirtualLoop() as loop:
        cluster = Cluster(loop, seed=seed, limits=limits)

        async def main() -> T:
            try:
                return await scenario(cluster)
            finally:
                await cluster.close()

        return loop.run_until_complete(main())
