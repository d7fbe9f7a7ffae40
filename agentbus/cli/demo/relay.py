"""The wire between the workers and the hub, as something that can be cut: a TCP relay on loopback.

It passes bytes on in both directions and knows nothing of them, but for one thing: it can be told to cut the
connection that is about to carry a certain text to a worker. So a cut hits a request on its way, every time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from agentbus.protocol import Origin, check_origin

_CHUNK = 65536


class Relay:
    """Connections to one hub.

    Args:
        hub_url: where the hub is; `ws://` on this machine.
    """

    def __init__(self, hub_url: str) -> None:
        self._hub: Origin = check_origin(hub_url)
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self._marker = b""
        self._on_cut: Callable[[], object] | None = None

    async def start(self) -> str:
        """Listen on a free port; return the URL that stands in for the hub's."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut_at(self, marker: bytes, on_cut: Callable[[], object]) -> None:
        """Cut the connection that is about to carry `marker` to a worker, once, before the worker gets it."""
        self._marker = marker
        self._on_cut = on_cut

    async def stop(self) -> None:
        """Cut every connection and free the port."""
        if self._server is None:
            return
        self._server.close()
        for writers in self._links.values():
            _abort(writers)
        await asyncio.gather(*self._links)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            hub_reader, hub_writer = await asyncio.open_connection(self._hub.host, self._hub.port)
        except OSError:
            writer.transport.abort()
            return
        ends = (writer, hub_writer)
        link = asyncio.create_task(self._join((reader, hub_reader), ends))
        self._links[link] = ends
        link.add_done_callback(self._links.pop)

    async def _join(
        self,
        sources: tuple[asyncio.StreamReader, asyncio.StreamReader],
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        await asyncio.gather(
            self._pass_on(sources[0], ends[1], ends),
            self._pass_on(sources[1], ends[0], ends, watched=True),
        )
        await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)

    async def _pass_on(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        *,
        watched: bool = False,
    ) -> None:
        before = b""  # the end of the last chunk: a marker may lie across two
        try:
            while (data := await source.read(_CHUNK)) and not sink.transport.is_closing():
                if watched and self._hits(before + data):
                    break
                before = data[-len(self._marker) :] if self._marker else b""
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # one end is gone, and the other goes with it
        _abort(ends)

    def _hits(self, data: bytes) -> bool:
        on_cut = self._on_cut
        if on_cut is None or self._marker not in data:
            return False
        self._on_cut = None
        on_cut()
        return True


def _abort(writers: Iterable[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.transport.abort()
