"""A hub's HTTP side in memory, on virtual time, and callers that say what they are told."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from agentbus.hub.core import AppConfig, HubConfig, Limits, PublishableKey, SecretKey
from agentbus.hub.server.app import Readiness, make_app
from agentbus.hub.server.http import HttpConnection
from agentbus.hub.server.metrics import HubMetrics
from agentbus.hub.server.metrics_access import metrics_route
from agentbus.hub.server.request_log import RequestLog
from agentbus.hub.server.session import SessionHandler
from agentbus.hub.server.shell import HubShell
from agentbus.hub.server.tokens import TokenKeys
from agentbus.runtime.loop import HostedLoop
from agentbus.runtime.virtual import VirtualLoop
from agentbus.wire import PipeTransport, ServerConnection, connect_in_memory

KEY = "pk_live_test"
SECRET = "sk_secret_0123456789abcdef0123456789abcdef"
METRICS_TOKEN = "metrics-token-of-16-and-more"
UPGRADE = (
    b"GET /v1?%s HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDAwMDAwMDAwMDAwMDAwMA==\r\nSec-WebSocket-Version: 13\r\n%s\r\n"
)


def app(name: str = "test", key: str = KEY, **changes: Any) -> AppConfig:
    """Return an app with a key and a pair for everything."""
    fields: dict[str, Any] = {
        "id": name,
        "publishable_keys": (PublishableKey(key=key, channel_patterns=("**",)),),
        "secret_keys": (SecretKey(id=f"sk_id_{name}", secret=SECRET),),
    }
    return AppConfig(**(fields | changes))


class Caller(asyncio.Protocol):
    """Keeps what comes in, and how it ended."""

    def __init__(self) -> None:
        self.data = b""
        self.gone = False
        self.transport: PipeTransport | None = None

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    @property
    def status(self) -> int:
        return int(self.data.split(b" ", 2)[1])


class Door:
    """A hub's HTTP side, and callers from any address."""

    def __init__(
        self,
        loop: VirtualLoop,
        *apps: AppConfig,
        trusted_proxies: tuple[str, ...] = (),
        most_unauthenticated: int = 100,
        metrics_token: str = "",
        **limits: Any,
    ) -> None:
        self.loop = loop
        config = HubConfig(apps=apps or (app(),), limits=Limits(**limits))
        ids = (f"peer-{number}" for number in itertools.count(1))
        self.shell = shell = HubShell(
            config,
            loop=HostedLoop(loop),
            new_id=ids.__next__,
            verify=TokenKeys.of(config).verify,
            trusted_proxies=trusted_proxies,
            most_unauthenticated=most_unauthenticated,
        )
        self.metrics = HubMetrics(shell, lambda: True)

        class Upgraded(ServerConnection):
            def __init__(self, **_from_uvicorn: Any) -> None:
                super().__init__(SessionHandler(shell), shell.flusher, shell.options)

        class Http(HttpConnection):
            entrance = shell.entrance

        self._http = Http
        self.state = ServerState()
        self.config = uvicorn.Config(
            RequestLog(
                make_app(
                    Readiness(ready=True),
                    [metrics_route(self.metrics, shell.trusted_proxies, metrics_token)],
                ),
                shell.now,
                shell.trusted_proxies,
            ),
            ws=cast("type[asyncio.Protocol]", Upgraded),
            lifespan="off",
            log_config=None,
            log_level="warning",
        )
        self.config.load()

    def call(self, *chunks: bytes, address: str = "192.0.2.1") -> Caller:
        """Connect from an address and say something."""
        caller = Caller()
        caller.transport, _ = connect_in_memory(
            self.loop,
            caller,
            self._http(self.config, self.state, {}, self.loop),
            client_address=address,
        )
        self.loop.run_until_idle()
        for chunk in chunks:
            caller.write(chunk)
            self.loop.run_until_idle()
        return caller

    def upgrade(self, query: str = f"key={KEY}", headers: str = "", address: str = "192.0.2.1") -> Caller:
        """Ask for a WebSocket."""
        return self.call(UPGRADE % (query.encode(), headers.encode()), address=address)

    def get(self, path: str, headers: str = "", address: str = "192.0.2.1") -> Caller:
        """Ask for a page."""
        return self.call(f"GET {path} HTTP/1.1\r\nHost: hub\r\n{headers}\r\n".encode(), address=address)

    def samples(self) -> dict[str, float]:
        """Read the metrics page: value by name and labels, as they stand there."""
        lines = self.metrics.page().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}


def text_frame(payload: bytes) -> bytes:
    """Mask a text frame with zeros, as no honest client would."""
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else bytes((0x81, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


def frames_of(caller: Caller) -> list[tuple[int, bytes]]:
    """Take apart what came after the upgrade: opcode and payload of each frame."""
    data = caller.data.partition(b"\r\n\r\n")[2]
    found: list[tuple[int, bytes]] = []
    position = 0
    while position < len(data):
        size, start = data[position + 1], position + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, start = int.from_bytes(data[start : start + width], "big"), start + width
        found.append((data[position] & 0x0F, data[start : start + size]))
        position = start + size
    return found


def texts_of(caller: Caller) -> list[dict[str, Any]]:
    """Return the JSON frames that came."""
    return [json.loads(payload) for opcode, payload in frames_of(caller) if opcode == 1]


def close_code(caller: Caller) -> int | None:
    """Return the code of the close frame that came."""
    codes = [int.from_bytes(payload[:2], "big") for opcode, payload in frames_of(caller) if opcode == 8]
    return codes[0] if codes else None


def say(caller: Caller, kind: str, **fields: Any) -> None:
    """Send one JSON frame."""
    caller.write(text_frame(json.dumps({"type": kind, **fields}).encode()))
