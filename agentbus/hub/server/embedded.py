"""A hub inside the process: the same core and the same bytes, over the in-memory pipe.

It needs the base install only.
"""

from __future__ import annotations

from collections.abc import Callable

from agentbus.errors import RuntimeFault
from agentbus.hub.core import HubConfig
from agentbus.hub.server.session import SessionHandler
from agentbus.hub.server.shell import HubShell
from agentbus.runtime.loop import Loop
from agentbus.wire.client import ClientConnection, ClientOptions
from agentbus.wire.pipe import connect_in_memory
from agentbus.wire.server import ServerConnection, ServerOptions
from agentbus.wire.transport import Target, Transport, TransportHandler

EMBEDDED_ORIGIN = "ws://localhost"
"""What clients of an embedded hub name as their URL; it is never resolved."""


class EmbeddedHub:
    """A hub that clients of this process reach through `dial`.

    Args:
        config: apps and limits.
        loop: on which it lives; its clients must live there too.
        new_id: gives a fresh UUID text.
        options: idle pings and time-outs of its connections.
        client_options: the source of its clients' masking keys.

    Attributes:
        shell: its connections and its core.
    """

    def __init__(
        self,
        config: HubConfig,
        *,
        loop: Loop,
        new_id: Callable[[], str],
        options: ServerOptions | None = None,
        client_options: ClientOptions | None = None,
    ) -> None:
        self.shell = HubShell(config, loop=loop, new_id=new_id, options=options)
        self._loop = loop
        self._client_options = client_options
        self._stopped = False

    def dial(self, target: Target, handler: TransportHandler, loop: Loop) -> Transport:
        """Connect a client; the `transport_factory` of a `SignallingClient`."""
        if loop is not self._loop:
            raise RuntimeFault("an embedded hub serves clients of its own loop only")
        client = ClientConnection(target, handler, loop, self._client_options)
        if self._stopped:
            loop.call_soon(client.fail, "the embedded hub has stopped")
            return client
        server = ServerConnection(SessionHandler(self.shell), self.shell.flusher, self.shell.options)
        connect_in_memory(loop.asyncio_loop, client, server)
        return client

    async def stop(self, grace: float = 1.0) -> None:
        """Say goodbye to every client and let nobody in any more; on the hub's loop."""
        self._stopped = True
        await self.shell.shutdown(grace)
