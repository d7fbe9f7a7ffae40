"""The wire between the workers and the hub, as something that can be cut: a TCP relay on loopback.

It passes bytes on in both directions and knows nothing of them, but for one thing: it can be told to cut, or
to silence, the connection that is about to carry a certain text to a worker. So harm hits a job on its way,
every time: it is leased, and does not get there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple

from agentbus.protocol import Origin, check_origin

_CHUNK = 65536
_LONGEST_MARKER = 100


class _Strike(NamedTuple):
    """What comes with a marker."""

    marker: bytes
    tell: Callable[[], object]
    cuts: bool


class Relay:
    """Connections to one hub.

    Args:
        hub_url: where the hub is; `ws://` on this machine.
    """

    def __init__(self, hub_url: str) -> None:
        self._hub: Origin = check_origin(hub_url)
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}
        self._waiting: list[_Strike] = []

    async def start(self) -> str:
        """Listen on a free port; return the URL that stands in for the hub's."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut_at(self, marker: bytes, on_cut: Callable[[], object]) -> None:
        """Cut the connection that is about to carry `marker` to a worker, once, before the worker gets it.

        Of several strikes that wait for one marker, the first that was asked for comes first.
        """
        self._waiting.append(_Strike(marker, on_cut, cuts=True))

    def silence_at(self, marker: bytes, on_silence: Callable[[], object]) -> None:
        """Let nothing more through to the worker that is about to get `marker`, once; its end stays open."""
        self._waiting.append(_Strike(marker, on_silence, cuts=False))

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
        before, silent = b"", False  # the end of the last chunk: a marker may lie across two
        try:
            while (data := await source.read(_CHUNK)) and not sink.transport.is_closing():
                strike = self._struck(before + data) if watched else None
                if strike is not None and strike.cuts:
                    break
                silent = silent or strike is not None
                before = data[-_LONGEST_MARKER:] if self._waiting else b""
                if not silent:
                    sink.write(data)
                    await sink.drain()
        except OSError:
            pass  # one end is gone, and the other goes with it
        _abort(ends)

    def _struck(self, data: bytes) -> _Strike | None:
        for strike in self._waiting:
            if strike.marker in data:
                self._waiting.remove(strike)
                strike.tell()
                return strike
        return None


def _abort(writers: Iterable[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.transport.abort()
