"""The control plane over bytes: uvicorn's HTTP side in memory, on virtual time."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any, NamedTuple

import uvicorn
from uvicorn.server import ServerState

from agentbus.hub.core import AppConfig, HubConfig, Limits, PublishableKey, SecretKey, UsageStore
from agentbus.hub.server.app import Readiness, make_app
from agentbus.hub.server.http import HttpConnection
from agentbus.hub.server.rest.routes import control_routes
from agentbus.hub.server.session import SessionHandler
from agentbus.hub.server.shell import HubShell
from agentbus.hub.server.tokens import TokenKeys
from agentbus.runtime.loop import HostedLoop
from agentbus.runtime.virtual import VirtualLoop
from agentbus.wire import PipeTransport, ServerConnection, connect_in_memory
from agentbus.wire.memory import MemoryListener, memory_dialler
from tests.hub.server.raw_client import RawClient

SECRET = "sk_secret_0123456789abcdef0123456789abcdef"
PAIR = f"sk_id_test:{SECRET}"
APP = AppConfig(
    id="test",
    publishable_keys=(PublishableKey(key="pk_live_test", channel_patterns=("**",)),),
    secret_keys=(
        SecretKey(id="sk_id_test", secret=SECRET),
        SecretKey(id="sk_id_rooms", secret=SECRET, channel_patterns=("rooms/*",)),
    ),
)


class Response(NamedTuple):
    """One answer, taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        assert set(self.json) == {"error", "message"}
        return self.status, self.json["error"]


class Caller(asyncio.Protocol):
    """Keeps what comes in, and whether it is over."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.data = b""
        self.gone = False
        self.transport: PipeTransport | None = None

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True

    def say(self, *chunks: bytes) -> None:
        assert self.transport is not None
        for chunk in chunks:
            self.transport.write(chunk)
            self.loop.run_until_idle()

    def take(self, *, head: bool = False) -> Response:
        """Take the first answer out of what has come."""
        start, _, rest = self.data.partition(b"\r\n\r\n")
        lines = start.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        assert len(headers) == len(lines) - 1, "a header twice"
        length = 0 if head else int(headers.get("content-length", "0"))
        self.data = rest[length:]
        return Response(int(lines[0].split()[1]), headers, rest[:length])


class Door:
    """A hub with its control plane, and callers."""

    def __init__(
        self, loop: VirtualLoop, *apps: AppConfig, usage_store: UsageStore | None = None, **limits: Any
    ) -> None:
        self.loop = loop
        self.home = HostedLoop(loop)
        ids = (f"peer-{number}" for number in itertools.count(1))
        config = HubConfig(apps=apps or (APP,), limits=Limits(**limits))
        self.shell = HubShell(
            config,
            loop=self.home,
            new_id=ids.__next__,
            verify=TokenKeys.of(config).verify,
            usage_store=usage_store,
        )
        self._state = ServerState()
        self._config = uvicorn.Config(
            make_app(Readiness(ready=True), control_routes(self.shell)), lifespan="off", log_config=None
        )
        self._config.load()

    def call(self) -> Caller:
        """Open a connection."""
        caller = Caller(self.loop)
        connection = HttpConnection(self._config, self._state, {}, self.loop)
        caller.transport, _ = connect_in_memory(self.loop, caller, connection)
        self.loop.run_until_idle()
        return caller

    def ask(self, method: str, path: str, body: Any = None, *, pair: str = PAIR, **headers: str) -> Response:
        """Make one request on a connection of its own."""
        caller = self.call()
        caller.say(request(method, path, body, pair=pair, **headers))
        return caller.take(head=method == "HEAD")

    def connect(self, *channels: str, query: str = "key=pk_live_test") -> RawClient:
        """Connect a client and subscribe it."""
        listener = MemoryListener(
            self.loop,
            lambda: ServerConnection(SessionHandler(self.shell), self.shell.flusher, self.shell.options),
        )
        client = RawClient(memory_dialler(listener), self.home, query)
        self.loop.run_until_idle()
        for channel in channels:
            client.say("subscribe", channel=channel)
        self.loop.run_until_idle()
        return client


def request(method: str, path: str, body: Any = None, *, pair: str = PAIR, **headers: str) -> bytes:
    """Write one request; a body that is no bytes is sent as JSON. Header names have `_` for `-`."""
    text = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    fields = {"Host": "hub", "Authorization": f"Bearer {pair}"} if pair else {"Host": "hub"}
    if body is not None:
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(text))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + text
