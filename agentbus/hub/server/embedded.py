"""A hub inside the process: the same core and the same bytes, over the in-memory pipe.

It needs the base install only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from agentbus.errors import RuntimeFault
from agentbus.hub.core import HubConfig
from agentbus.hub.server.session import SessionHandler
from agentbus.hub.server.shell import HubShell
from agentbus.runtime.loop import Loop
from agentbus.wire.client import ClientOptions
from agentbus.wire.memory import MemoryListener, memory_dialler
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

    @cached_property
    def _listener(self) -> MemoryListener:
        # made at the first dial: a loop thread has no loop before it is used
        return MemoryListener(self._loop.asyncio_loop, self.accept)

    def accept(self) -> ServerConnection:
        """Make the hub's end of a connection, for an asyncio server; on the hub's loop."""
        return ServerConnection(SessionHandler(self.shell), self.shell.flusher, self.shell.options)

    def dial(self, target: Target, handler: TransportHandler, loop: Loop) -> Transport:
        """Connect a client; the `transport_factory` of a `SignallingClient`.

        Raises:
            RuntimeFault: the client lives on another loop.
        """
        if loop is not self._loop:
            raise RuntimeFault("an embedded hub serves clients of its own loop only")
        return memory_dialler(self._listener, self._client_options)(target, handler, loop)

    async def stop(self, grace: float = 1.0) -> None:
        """Say goodbye to every client and let nobody in any more; on the hub's loop."""
        self._listener.close()
        await self.shell.shutdown(grace)
