"""The hub on a port: uvicorn for HTTP and TLS, our own protocol class for WebSockets, one shutdown for both.

An upgrade is handed over together with its transport, so REST and WebSockets share one port.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvicorn

from agentbus.errors import HubConfigError
from agentbus.hub.core import HubConfig, UsageStore
from agentbus.hub.server.app import Readiness, make_app
from agentbus.hub.server.http import HttpConnection
from agentbus.hub.server.session import SessionHandler
from agentbus.hub.server.shell import HubShell
from agentbus.hub.server.tokens import TokenKeys
from agentbus.runtime.loop import Loop
from agentbus.wire.server import ServerConnection, ServerOptions

LISTEN_BACKLOG = 1024


@dataclass(frozen=True, kw_only=True)
class Listen:
    """Where a hub listens, and how it ends.

    Attributes:
        host: a name or an address.
        port: 0 picks a free one.
        tls_cert: PEM file; with `tls_key` the hub speaks `wss://` and `https://`.
        tls_key: PEM file.
        shutdown_grace: seconds that clients have to leave when the hub stops.
        trusted_proxies: addresses whose `X-Forwarded-For` is believed.
    """

    host: str = "127.0.0.1"
    port: int = 7700
    tls_cert: Path | None = None
    tls_key: Path | None = None
    shutdown_grace: float = 5.0
    trusted_proxies: tuple[str, ...] = ()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: who starts the hub decides when it stops."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class HubServer:
    """A hub that listens on a port.

    Args:
        config: apps, limits, extensions.
        listen: where, and how it ends.
        loop: on which it lives.
        new_id: gives a fresh UUID text.
        usage_store: keeps message counts over restarts.
        options: idle pings and time-outs of connections.

    Attributes:
        shell: its connections and its core.
    """

    def __init__(
        self,
        config: HubConfig,
        listen: Listen,
        *,
        loop: Loop,
        new_id: Callable[[], str],
        usage_store: UsageStore | None = None,
        options: ServerOptions | None = None,
    ) -> None:
        self._listen = listen
        self.shell = HubShell(
            config,
            loop=loop,
            new_id=new_id,
            verify=TokenKeys.of(config).verify,
            usage_store=usage_store,
            options=options,
            trusted_proxies=listen.trusted_proxies,
        )
        self._ready = Readiness()
        self._port = listen.port
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    # -- where it is ---------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port that it listens on; known once started."""
        return self._port

    @property
    def url(self) -> str:
        """What clients name as their URL."""
        scheme = "wss" if self._listen.tls_cert else "ws"
        host = self._listen.host
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    # -- a life, in order ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind, and return once connections are accepted.

        Raises:
            HubConfigError: the address is taken or not ours, or the certificate can't be read.
        """
        self._check_tls()
        listener = self._bind()
        self._port = int(listener.getsockname()[1])
        self._server = _Server(self._uvicorn_config())
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="hub-http")
        listening = asyncio.ensure_future(self._server.listening.wait())
        await asyncio.wait((listening, self._serving), return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._serving.done():
            await self._serving  # raises what went wrong
        self._ready.ready = True

    async def stop(self, grace: float | None = None) -> None:
        """Accept nobody, say `going_away`, close everyone with 1001, and free the port; idempotent.

        Args:
            grace: seconds that clients have to leave; by default as configured.
        """
        self._ready.ready = False
        if self._server is None or self._serving is None:
            return
        await self.shell.shutdown(self._listen.shutdown_grace if grace is None else grace)
        self._server.should_exit = True
        await self._serving
        self._server = None

    # -- how -----------------------------------------------------------------------------------------------

    def _bind(self) -> socket.socket:
        host, port = self._listen.host, self._listen.port
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, _, _, _, address = found[0]
            listener = socket.create_server(address[:2], family=family, backlog=LISTEN_BACKLOG)
        except OSError as error:
            raise HubConfigError(
                "server", "host and port", f"{host}:{port}: {error.strerror or error}"
            ) from None
        listener.setblocking(False)  # noqa: FBT003 -- its only argument
        return listener

    def _check_tls(self) -> None:
        cert, key = self._listen.tls_cert, self._listen.tls_key
        if (cert is None) != (key is None):
            raise HubConfigError(
                "server", "tls", "a certificate and a key belong together; give both or none"
            )
        if cert is None or key is None:
            return
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            words = error.strerror or type(error).__name__
            raise HubConfigError(
                "server", "tls", f"the certificate or its key can't be used: {words}"
            ) from None

    def _uvicorn_config(self) -> uvicorn.Config:
        listen = self._listen
        return uvicorn.Config(
            make_app(self._ready),
            http=HttpConnection,
            ws=self._protocol_class(),
            lifespan="off",
            log_config=None,
            log_level="warning",  # below it, uvicorn logs request lines
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ssl_certfile=listen.tls_cert,
            ssl_keyfile=listen.tls_key,
            timeout_graceful_shutdown=1,
        )

    def _protocol_class(self) -> type[asyncio.Protocol]:
        shell = self.shell

        class UpgradedConnection(ServerConnection):
            """What uvicorn hands an upgrade to; its own arguments are of no use here."""

            __slots__ = ()

            def __init__(self, **_from_uvicorn: Any) -> None:
                super().__init__(SessionHandler(shell), shell.flusher, shell.options)

        return cast(
            "type[asyncio.Protocol]", UpgradedConnection
        )  # buffered, of which uvicorn's types know nothing
