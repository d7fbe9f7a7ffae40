"""Both ends' handlers as recorders, raw peers that say what they are told, and a world to live in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast

from websockets.http11 import Request
from websockets.utils import accept_key

from agentbus.protocol.url import check_origin
from agentbus.runtime.loop import HostedLoop
from agentbus.runtime.virtual import VirtualLoop
from agentbus.wire import (
    ClientOptions,
    Flusher,
    MemoryListener,
    PipeTransport,
    Reject,
    ServerConnection,
    ServerOptions,
    Target,
    Transport,
    TransportHandler,
    UpgradeRequest,
    memory_dialler,
)
from agentbus.wire.head import HeadCollector, UpgradeOffer, parse_request

SECRET = "pk_live_do_not_show_me"
Closed = tuple[int, str, int | None, float | None]


def target(url: str = "ws://localhost") -> Target:
    return Target(check_origin(url), f"/v1?key={SECRET}")


class ClientEar(TransportHandler):
    """What a client's transport told, in order."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.closed: list[Closed] = []
        self.activity = 0
        self.on_message: Callable[[bytes], object] = lambda _payload: None
        self.when_open: Callable[[], object] = lambda: None
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def messages(self) -> list[bytes]:
        return [event for event in self.told if isinstance(event, bytes)]

    def on_open(self) -> None:
        self._tell("open")
        self.when_open()

    def on_text(self, payload: bytes, /) -> None:
        self._tell(payload)
        self.on_message(payload)

    def on_binary(self, size: int, /) -> None:
        self._tell(size)

    def on_activity(self) -> None:
        self.activity += 1

    def on_closed(
        self, code: int, reason: str, http_status: int | None, retry_after: float | None, /
    ) -> None:
        assert not self.closed
        self.closed.append((code, reason, http_status, retry_after))
        self._tell("closed")

    def on_pause_writing(self) -> None:
        self._tell("pause")

    def on_resume_writing(self) -> None:
        self._tell("resume")

    def _tell(self, event: object) -> None:
        assert "closed" not in self.told, "on_closed comes last"
        self.told.append(event)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, event: object) -> None:
        """Wait until this was told."""
        while event not in self.told:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter


class ServerEar:
    """What a server's connection told, in order."""

    def __init__(self, answer: Reject | None = None) -> None:
        self.answer = answer
        self.requests: list[UpgradeRequest] = []
        self.told: list[object] = []
        self.closed: list[tuple[int, str]] = []
        self.activity = 0
        self.on_message: Callable[[bytes], object] = lambda _payload: None
        self._connection: ServerConnection | None = None

    @property
    def connection(self) -> ServerConnection:
        assert self._connection is not None
        return self._connection

    @property
    def messages(self) -> list[bytes]:
        return [event for event in self.told if isinstance(event, bytes)]

    def on_request(self, request: UpgradeRequest, /) -> Reject | None:
        self.requests.append(request)
        return self.answer

    def on_open(self, connection: ServerConnection, /) -> None:
        self.told.append("open")
        self._connection = connection

    def on_text(self, payload: bytes, /) -> None:
        self.told.append(payload)
        self.on_message(payload)

    def on_binary(self, size: int, /) -> None:
        self.told.append(size)

    def on_activity(self) -> None:
        self.activity += 1

    def on_closed(self, code: int, reason: str, /) -> None:
        assert not self.closed
        self.closed.append((code, reason))


class RawPeer(asyncio.Protocol):
    """The other end as bytes: what came, and what a script sends."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.ended = False
        self.lost: list[Exception | None] = []
        self.on_data: Callable[[RawPeer, bytes], object] = lambda _peer, _data: None
        self.keep_open = False
        self._transport: asyncio.Transport | None = None

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    @property
    def data(self) -> bytes:
        return b"".join(self.received)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received.append(data)
        self.on_data(self, data)

    def eof_received(self) -> bool:
        self.ended = True
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class RawServer(RawPeer):
    """A server that upgrades properly, then says what it is told to."""

    def __init__(self, after_upgrade: bytes = b"") -> None:
        super().__init__()
        self.request: Request | None = None
        self._collector: HeadCollector | None = HeadCollector()
        self._after_upgrade = after_upgrade

    def data_received(self, data: bytes) -> None:
        if self._collector is None:
            super().data_received(data)
            return
        found = self._collector.feed(data)
        if found is not None:
            self._collector = None
            self.request = parse_request(found[0])
            self.transport.write(upgrade_response(self.request) + self._after_upgrade)


def upgrade_response(request: Request) -> bytes:
    accept = accept_key(request.headers["Sec-WebSocket-Key"])
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode()


def upgrade_request(request_target: str = "/v1?key=k") -> bytes:
    return UpgradeOffer(check_origin("ws://localhost")).request(request_target)


class World:
    """A virtual loop with a client or a server on it, and what it talks to."""

    def __init__(self, options: ServerOptions | None = None) -> None:
        self.aio = VirtualLoop()
        self.loop = HostedLoop(self.aio)
        self.flusher = Flusher(self.aio)
        self.options = options or ServerOptions()

    def __enter__(self) -> Self:
        self.aio.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.aio.__exit__(kind, error, traceback)

    def run(self, seconds: float = 0.0) -> None:
        self.aio.advance(seconds)

    def serve(self, ear: ServerEar) -> ServerConnection:
        return ServerConnection(ear, self.flusher, self.options)

    def connect(self, ear: ServerEar) -> RawPeer:
        """Connect a raw client to a server; nothing is sent yet."""
        peer = RawPeer()
        MemoryListener(self.aio, lambda: self.serve(ear)).connect(peer)
        self.run()
        return peer

    def upgrade(self, ear: ServerEar) -> RawPeer:
        """Connect a raw client and upgrade; what it received begins after the response."""
        peer = self.connect(ear)
        peer.transport.write(upgrade_request())
        self.run()
        peer.received.clear()
        return peer

    def dial(
        self, ear: ClientEar, server: Callable[[], asyncio.BaseProtocol], options: ClientOptions | None = None
    ) -> Transport:
        """Dial a server from a client; nothing has happened yet."""
        return memory_dialler(MemoryListener(self.aio, server), options)(target(), ear, self.loop)

    def open(
        self, ear: ClientEar, server: RawPeer | None = None, options: ClientOptions | None = None
    ) -> tuple[Transport, RawPeer]:
        """Connect a client to a raw server that upgrades properly."""
        peer = server or RawServer()
        transport = self.dial(ear, lambda: peer, options)
        self.run()
        return transport, peer


class WrittenDown(asyncio.Transport):
    """A transport that keeps each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))


def pipe_of(peer: RawPeer) -> PipeTransport:
    assert isinstance(peer.transport, PipeTransport)
    return peer.transport
