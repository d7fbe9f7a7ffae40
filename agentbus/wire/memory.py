"""Connections without sockets: a hub that listens in memory, and the clients that dial it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agentbus.runtime.loop import Loop
from agentbus.wire.client import ClientConnection, ClientOptions
from agentbus.wire.pipe import PipeTransport, Stream, StreamFactory, connect_in_memory
from agentbus.wire.transport import Target, Transport, TransportFactory, TransportHandler

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class MemoryListener:
    """Accept connections in memory, as an asyncio server does on a port.

    Args:
        loop: on which both ends of every connection live.
        protocol_factory: makes the protocol of an accepted connection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol_factory: ProtocolFactory) -> None:
        self._loop = loop
        self._protocol_factory = protocol_factory
        self._open = True

    def connect(
        self,
        client: asyncio.BaseProtocol,
        *,
        stream: StreamFactory = Stream,
        address: str = "in-memory",
    ) -> tuple[PipeTransport, PipeTransport]:
        """Connect a client's protocol to a new protocol of the server's.

        Args:
            client: hears `connection_made` in the loop's next turn.
            stream: makes each direction of the pipe.
            address: what the server sees as its peer.

        Returns:
            The client's transport and the server's.

        Raises:
            ConnectionRefusedError: the listener is closed.
        """
        if not self._open:
            raise ConnectionRefusedError("nobody listens there")
        return connect_in_memory(
            self._loop, client, self._protocol_factory(), stream=stream, client_address=address
        )

    def close(self) -> None:
        """Refuse further connections; those that exist go on."""
        self._open = False


def memory_dialler(listener: MemoryListener, options: ClientOptions | None = None) -> TransportFactory:
    """Make a transport factory whose every dial reaches one listener, whatever the target's origin."""

    def dial(target: Target, handler: TransportHandler, loop: Loop) -> Transport:
        connection = ClientConnection(target, handler, loop, options)

        async def opening() -> None:
            listener.connect(connection)

        connection.start(opening)
        return connection

    return dial
