"""Frames over a socket pair, on one loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from agentbus.agents.processes.frames import HEAD, ToChild, ToParent, body_length, encode_frame

In = TypeVar("In")

UNSENT_BYTES = 1024 * 1024
"""Unsent bytes beyond which what may be left out is left out."""


class Channel(Generic[In]):
    """One end of a socket pair.

    Args:
        reader: of the socket.
        writer: of the socket.
        decode: reads what the other end sends.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decode: Callable[[bytes], In]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decode = decode

    @classmethod
    async def over(cls, end: socket.socket, decode: Callable[[bytes], In]) -> Channel[In]:
        """Take a connected socket over, which must not block."""
        reader, writer = await asyncio.open_connection(sock=end)
        return cls(reader, writer, decode)

    @property
    def congested(self) -> bool:
        """Whether the other end reads more slowly than this one writes."""
        return self._writer.transport.get_write_buffer_size() > UNSENT_BYTES

    def post(self, frame: ToChild | ToParent) -> None:
        """Send a frame; what can't leave at once waits. An end that is gone takes it in silence."""
        if not self._writer.is_closing():
            self._writer.write(encode_frame(frame))

    async def send(self, frame: ToChild | ToParent) -> None:
        """Send a frame, and wait while the other end reads too slowly.

        Raises:
            ConnectionError: the other end is gone.
        """
        self._writer.write(encode_frame(frame))
        await self._writer.drain()

    async def frames(self) -> AsyncIterator[In]:
        """Give what comes, until the other end is gone, or so far gone that it makes no sense."""
        while True:
            try:
                head = await self._reader.readexactly(HEAD.size)
                frame = self._decode(await self._reader.readexactly(body_length(head)))
            except (asyncio.IncompleteReadError, ConnectionError, ValueError):
                return
            yield frame

    def close(self) -> None:
        """Let the other end find this one gone, once it has what was sent."""
        self._writer.close()

    async def closed(self) -> None:
        """Wait until what was sent has left, or can't."""
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
