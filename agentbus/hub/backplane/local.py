"""A backplane for the hubs of one machine: a relay on a Unix socket, for `agentbus serve --workers`.

On the wire each packet is its length (4 bytes), then, toward the relay, the length of the addressee's life (1
byte, 0 for all) and that life. The first packet of a hub is addressed to itself: it says who it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

from agentbus.hub.backplane.transport import BackplaneHandler

MAX_PACKET_BYTES = 4 << 20
MAX_BACKLOG_BYTES = 32 << 20
"""Unsent bytes for one hub; beyond, it is cut off, and comes back and is told everything anew."""

RETRY_DELAY = 0.1
START_TIMEOUT = 5.0
_length = struct.Struct("!I")


class _Packets(asyncio.Protocol):
    """One end of a connection: whole packets in, whole packets out."""

    def __init__(
        self, on_packet: Callable[[_Packets, bytes], None], on_gone: Callable[[_Packets], None]
    ) -> None:
        self._on_packet = on_packet
        self._on_gone = on_gone
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self.life: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        position = 0
        while len(buffer) - position >= 4:
            (size,) = _length.unpack_from(buffer, position)
            if size > MAX_PACKET_BYTES:
                self.abort()
                return
            if len(buffer) - position - 4 < size:
                break
            self._on_packet(self, bytes(buffer[position + 4 : position + 4 + size]))
            position += 4 + size
        del buffer[:position]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- however it ended
        self._transport = None
        self._on_gone(self)

    def send(self, packet: bytes) -> None:
        """Write a packet, or cut off who reads too slowly."""
        transport = self._transport
        if transport is None:
            return
        transport.write(_length.pack(len(packet)) + packet)
        if transport.get_write_buffer_size() > MAX_BACKLOG_BYTES:
            transport.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class LocalRelay:
    """What joins the hubs; it lives in the process that starts them.

    Args:
        path: of its socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members: dict[str, _Packets] = {}
        self._connections: set[_Packets] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; the socket is for this user alone."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._accept, str(self._path))
        self._path.chmod(0o600)

    async def stop(self) -> None:
        """Cut everybody off."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _accept(self) -> _Packets:
        connection = _Packets(self._relay, self._gone)
        self._connections.add(connection)
        return connection

    def _relay(self, source: _Packets, packet: bytes) -> None:
        end = 1 + packet[0] if packet else 0
        life, payload = packet[1:end].decode("ascii", "replace"), packet[end:]
        if source.life is None:
            source.life = life
            self._members[life] = source
        elif not life:
            for member in tuple(self._members.values()):
                member.send(payload)
        elif life in self._members:
            self._members[life].send(payload)

    def _gone(self, connection: _Packets) -> None:
        self._connections.discard(connection)
        if connection.life is not None and self._members.get(connection.life) is connection:
            del self._members[connection.life]


class LocalBackplane:
    """One hub's way to the others over a `LocalRelay`.

    Args:
        path: of its socket.
    """

    _handler: BackplaneHandler

    def __init__(self, path: Path) -> None:
        self._path = path
        self._life = ""
        self._connection: _Packets | None = None
        self._lost = asyncio.Event()
        self._up = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None

    async def start(self, life: str, handler: BackplaneHandler) -> None:
        """Connect; if the relay is away, go on trying."""
        self._life, self._handler = life, handler
        self._connecting = asyncio.create_task(self._keep_connected(), name="backplane-connect")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._up.wait(), START_TIMEOUT)

    def send(self, to: str | None, payload: bytes) -> None:
        """Carry a packet; without a connection it is dropped, and the core knows that."""
        if self._connection is not None:
            life = (to or "").encode()
            self._connection.send(bytes((len(life),)) + life + payload)

    async def stop(self) -> None:
        """Send what is written, and end."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(OSError):
                _, connection = await loop.create_unix_connection(self._make, str(self._path))
                self._lost.clear()
                self._connection = connection
                self.send(self._life, b"")
                self._up.set()
                self._handler.on_open()
                await self._lost.wait()
                self._connection = None
                self._up.clear()
                self._handler.on_lost()
            await asyncio.sleep(RETRY_DELAY)

    def _make(self) -> _Packets:
        return _Packets(
            lambda _connection, packet: self._handler.on_packet(packet), lambda _c: self._lost.set()
        )
