"""The one door to the hub: a bus that brings its own. Imported only when it is needed."""

from __future__ import annotations

import asyncio
import uuid
from typing import Protocol

from agentbus.errors import InvalidUrlError
from agentbus.hub.server.embedded import EMBEDDED_ORIGIN, EmbeddedHub
from agentbus.hub.server.keys import new_publishable_key
from agentbus.hub.server.presets import embedded_config
from agentbus.runtime import Runtime
from agentbus.wire.transport import TransportFactory

LOOPBACK = "127.0.0.1"


class OwnHub(Protocol):
    """A hub that lives and dies with one bus."""

    @property
    def url(self) -> str:
        """Where clients reach it."""
        ...

    @property
    def key(self) -> str:
        """A publishable key for everything, which nobody else knows."""
        ...

    @property
    def transport_factory(self) -> TransportFactory | None:
        """How clients of this process dial it; None for a socket."""
        ...

    async def start(self) -> None:
        """Begin to accept connections."""
        ...

    async def open_door(self) -> str:
        """Give the URL at which other processes of this machine reach it, opened if need be."""
        ...

    async def stop(self) -> None:
        """Let nobody in any more, and say goodbye."""
        ...


class MemoryHub:
    """A hub in memory, for one process.

    Args:
        runtime: whose I/O loop it lives on.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.key = f"pk_live_{runtime.new_id()}"
        self.url = EMBEDDED_ORIGIN
        self._hub = EmbeddedHub(
            embedded_config(self.key), loop=runtime.io, new_id=lambda: _as_uuid(runtime.new_id())
        )
        self._loop = runtime.io
        self._opening: asyncio.Task[asyncio.Server] | None = None

    @property
    def transport_factory(self) -> TransportFactory | None:
        """Dial in memory."""
        return self._hub.dial

    async def start(self) -> None:
        """Do nothing: it is there."""

    async def open_door(self) -> str:
        """Listen on a free port of the loopback, from the first call on; who has the key may come in.

        Raises:
            OSError: there is no port.
        """
        if self._opening is None:
            listening = self._loop.asyncio_loop.create_server(self._hub.accept, LOOPBACK, 0)
            self._opening = asyncio.ensure_future(listening)
        server = await asyncio.shield(self._opening)
        return f"ws://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close every connection."""
        if self._opening is not None:
            (await self._opening).close()
        await self._hub.stop(grace=0.1)


class ListeningHub:
    """A hub on a port of this machine, which other processes may join with its key.

    Args:
        listen: `host:port`; port 0 picks a free one.
        runtime: whose I/O loop it lives on.

    Raises:
        InvalidUrlError: `listen` is no host and port.
        ModuleNotFoundError: the `hub` extra is not installed.
    """

    def __init__(self, listen: str, runtime: Runtime) -> None:
        try:
            from agentbus.hub.server.server import HubServer, Listen
        except ModuleNotFoundError as error:
            needs = f"a hub on a port needs {error.name}: pip install 'agentbus[hub]'"
            raise ModuleNotFoundError(needs, name=error.name) from None
        host, port = _host_and_port(listen)
        self.key = new_publishable_key()
        self._server = HubServer(
            embedded_config(self.key),
            Listen(host=host, port=port, shutdown_grace=0.5),
            loop=runtime.io,
            new_id=lambda: str(uuid.uuid4()),
        )

    @property
    def url(self) -> str:
        """Where clients reach it; the port is known once it is started."""
        return self._server.url

    @property
    def transport_factory(self) -> TransportFactory | None:
        """Dial by socket."""
        return None

    async def start(self) -> None:
        """Bind, and accept connections.

        Raises:
            HubConfigError: the address is taken or not ours.
        """
        await self._server.start()

    async def open_door(self) -> str:
        """Give its URL: it listens anyway."""
        return self.url

    async def stop(self) -> None:
        """Close every connection, and the port."""
        await self._server.stop()


def own_hub(listen: str | None, runtime: Runtime) -> OwnHub:
    """Make the hub of a bus that names no other: on a port, or in memory.

    Raises:
        InvalidUrlError: `listen` is no host and port.
    """
    return MemoryHub(runtime) if listen is None else ListeningHub(listen, runtime)


def _host_and_port(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise InvalidUrlError('listen is "host:port", such as "127.0.0.1:0"')
    return host.strip("[]") or "127.0.0.1", int(port)


def _as_uuid(text: str) -> str:
    try:
        return str(uuid.UUID(hex=text))
    except ValueError:
        return text
