"""A TCP proxy that misbehaves: put it before a real hub, and see what clients and hub make of it.

The in-memory network has these faults too, and more, on virtual time; this one is for processes and sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field
from random import Random
from typing import Final, Self

READ_BYTES: Final = 16_384
LONGEST_GARBAGE: Final = 32


@dataclass(slots=True)
class ChaosCounts:
    """What a proxy has done."""

    connections: int = 0
    delayed: int = 0
    cut: int = 0
    half_closed: int = 0
    garbled: int = 0


@dataclass(eq=False, slots=True)
class _Link:
    """One connection through the proxy."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    tasks: list[asyncio.Task[None]] = field(default_factory=list["asyncio.Task[None]"])

    def cut(self) -> None:
        for writer in (self.near, self.far):
            writer.transport.abort()


class ChaosProxy:
    """Forwards connections of a port of loopback to a port, and does harm while told to.

        async with ChaosProxy(hub.port, random=Random(1)) as proxy:
            with proxy.delaying(0.02), proxy.cutting(0.01):
                ...                                   # clients use proxy.port

    Each fault hits a chunk of bytes with its own probability, in either direction.

    Args:
        port: where connections lead to.
        host: of that port.
        random: decides what is hit.

    Attributes:
        port: where clients connect; known once started.
        counts: what was done so far.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1", random: Random) -> None:
        self._target = host, port
        self._random = random
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self._longest_delay = 0.0
        self._cut = self._half_close = self._garble = 0.0
        self.port = 0
        self.counts = ChaosCounts()

    # -- a life, in order ------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut_all()
        tasks = [task for link in self._links for task in link.tasks]
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- faults ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def delaying(self, seconds: float) -> Generator[None]:
        """Hold each chunk back for up to so long; order is kept."""
        before, self._longest_delay = self._longest_delay, seconds
        try:
            yield
        finally:
            self._longest_delay = before

    @contextlib.contextmanager
    def cutting(self, probability: float) -> Generator[None]:
        """Break a connection off at a chunk, with half of the chunk delivered."""
        before, self._cut = self._cut, probability
        try:
            yield
        finally:
            self._cut = before

    @contextlib.contextmanager
    def half_closing(self, probability: float) -> Generator[None]:
        """End one direction after a chunk, while the other goes on."""
        before, self._half_close = self._half_close, probability
        try:
            yield
        finally:
            self._half_close = before

    @contextlib.contextmanager
    def garbling(self, probability: float) -> Generator[None]:
        """Put random bytes in the place of some of a chunk."""
        before, self._garble = self._garble, probability
        try:
            yield
        finally:
            self._garble = before

    def cut_all(self) -> int:
        """Break every connection off now; return how many there were."""
        links = tuple(self._links)
        for link in links:
            link.cut()
        return len(links)

    # -- how -------------------------------------------------------------------------------------------------

    async def _connected(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        self.counts.connections += 1
        try:
            far_reader, far = await asyncio.open_connection(*self._target)
        except OSError:
            near.transport.abort()
            return
        link = _Link(near, far)
        self._links.add(link)
        link.tasks = [
            asyncio.ensure_future(self._pump(link, near_reader, far)),
            asyncio.ensure_future(self._pump(link, far_reader, near)),
        ]
        try:
            await asyncio.gather(*link.tasks)
        finally:
            link.cut()
            self._links.discard(link)

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(READ_BYTES):
                if not await self._pass_on(link, chunk, writer):
                    return
            writer.write_eof()

    async def _pass_on(self, link: _Link, chunk: bytes, writer: asyncio.StreamWriter) -> bool:
        """Forward a chunk, or what is left of it; False where nothing may follow it."""
        if self._longest_delay:
            self.counts.delayed += 1
            await asyncio.sleep(self._random.uniform(0.0, self._longest_delay))
        if self._hits(self._cut):
            self.counts.cut += 1
            writer.write(chunk[: len(chunk) // 2])
            link.cut()
            return False
        if self._hits(self._garble):
            self.counts.garbled += 1
            chunk = self._garbled(chunk)
        writer.write(chunk)
        await writer.drain()
        if self._hits(self._half_close):
            self.counts.half_closed += 1
            writer.write_eof()
            return False
        return True

    def _hits(self, probability: float) -> bool:
        return bool(probability) and self._random.random() < probability

    def _garbled(self, chunk: bytes) -> bytes:
        at = self._random.randrange(len(chunk))
        noise = self._random.randbytes(self._random.randint(1, LONGEST_GARBAGE))
        return chunk[:at] + noise + chunk[at + len(noise) :]
