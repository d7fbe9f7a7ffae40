"""A real hub on the in-memory network, for tests: one line, and clients can dial it."""

from __future__ import annotations

from typing import Final

from agentbus.hub.backplane.memory import MemoryExchange
from agentbus.hub.core import (
    AppConfig,
    HistoryStore,
    HubConfig,
    Limits,
    PublishableKey,
    TokenVerifier,
    no_tokens,
)
from agentbus.hub.server.plane import Membership
from agentbus.hub.server.session import SessionHandler
from agentbus.hub.server.shell import HubShell
from agentbus.runtime import Runtime
from agentbus.testing.network import MemoryNetwork
from agentbus.wire import ServerConnection

TEST_KEY: Final = "pk_live_test"
"""A publishable key for every channel and every action."""

TEST_HUB: Final = HubConfig(
    apps=(AppConfig(id="test", publishable_keys=(PublishableKey(key=TEST_KEY, channel_patterns=("**",)),)),),
    limits=Limits(),
)
"""One app, that key, and the limits of spec section 8."""


class MemoryHub:
    """A hub that clients on a `MemoryNetwork` can dial.

    Args:
        network: where it listens.
        runtime: where it lives; its ids come from there.
        config: its apps and limits.
        url: what clients name.
        verify: checks tokens; by default every one is refused.
        history_store: keeps histories for the next hub.

    Attributes:
        url: as given.
        shell: its connections and its core.
    """

    def __init__(
        self,
        network: MemoryNetwork,
        runtime: Runtime,
        config: HubConfig = TEST_HUB,
        *,
        url: str = "ws://localhost",
        verify: TokenVerifier = no_tokens,
        history_store: HistoryStore | None = None,
    ) -> None:
        self.url = url
        self.shell = HubShell(
            config,
            loop=runtime.io,
            new_id=runtime.new_id,
            life=runtime.new_id(),
            verify=verify,
            history_store=history_store,
        )
        self._runtime = runtime
        self._listener = network.listen(url, self._accept)

    def _accept(self) -> ServerConnection:
        return ServerConnection(SessionHandler(self.shell), self.shell.flusher, self.shell.options)

    async def join(self, exchange: MemoryExchange, name: str) -> None:
        """Become one with the other hubs on an exchange.

        Args:
            exchange: what joins them; its faults are a backplane's.
            name: of this hub, different from the others'.
        """
        await self.shell.join(Membership(exchange.backplane(), name, self._runtime.new_id()))

    async def stop(self, grace: float = 1.0) -> None:
        """Let nobody in any more, say goodbye to all, and close them; another hub may listen then.

        Args:
            grace: seconds until the rest is aborted.
        """
        self._listener.close()
        await self.shell.shutdown(grace)
