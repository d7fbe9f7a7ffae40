"""The hub on a port: uvicorn for HTTP and TLS, our own protocol class for WebSockets, one shutdown for both.

An upgrade is handed over together with its transport, so REST and WebSockets share one port.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn
from starlette.routing import BaseRoute

from agentbus.errors import HubConfigError
from agentbus.hub.core import HistoryStore, HubConfig, UsageStore
from agentbus.hub.core.control import Control
from agentbus.hub.server.acceptor import TlsAcceptor
from agentbus.hub.server.app import Readiness, make_app
from agentbus.hub.server.dashboard.routes import Dashboard
from agentbus.hub.server.entrance import MOST_UNAUTHENTICATED
from agentbus.hub.server.http import HttpConnection
from agentbus.hub.server.listening import LISTEN_BACKLOG, UnixSocket, bind
from agentbus.hub.server.metrics import HubMetrics
from agentbus.hub.server.metrics_access import metrics_route
from agentbus.hub.server.plane import Membership
from agentbus.hub.server.request_log import RequestLog
from agentbus.hub.server.rest.routes import control_routes, sign
from agentbus.hub.server.session import SessionHandler
from agentbus.hub.server.shell import HubShell
from agentbus.hub.server.tls import CHECK_INTERVAL, Certificate
from agentbus.hub.server.tokens import TokenKeys
from agentbus.runtime.loop import Loop
from agentbus.wire.server import ServerConnection, ServerOptions


@dataclass(frozen=True, kw_only=True)
class Listen:
    """Where a hub listens, and how it ends.

    Attributes:
        host: a name or an address.
        port: 0 picks a free one.
        tls_cert: PEM file; with `tls_key` the hub speaks `wss://` and `https://`.
        tls_key: PEM file.
        uds: path of a unix socket, in place of host and port.
        uds_mode: its permissions.
        shutdown_grace: seconds that clients have to leave when the hub stops.
        trusted_proxies: addresses and networks whose `X-Forwarded-For` is believed.
        metrics_token: opens `/metrics` to callers elsewhere; "" opens it to nobody but this machine.
        max_unauthenticated: sockets without an accepted credential that are held.
        reuse_port: other processes listen on the same port, too.
        dashboard: whether there is one at `/`.
    """

    host: str = "127.0.0.1"
    port: int = 7700
    tls_cert: Path | None = None
    tls_key: Path | None = None
    uds: Path | None = None
    uds_mode: int = 0o600
    shutdown_grace: float = 5.0
    trusted_proxies: tuple[str, ...] = ()
    metrics_token: str = field(default="", repr=False)
    max_unauthenticated: int = MOST_UNAUTHENTICATED
    reuse_port: bool = False
    dashboard: bool = True


Factory = Callable[[], asyncio.BaseProtocol]
Accepting = asyncio.AbstractServer | TlsAcceptor


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers and its way to listen: who starts the hub decides when it stops."""

    def __init__(self, config: uvicorn.Config, listen: Callable[[Factory], Awaitable[Accepting]]) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._listen = listen

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 -- uvicorn's
        await self.lifespan.startup()
        make = cast("Callable[..., asyncio.BaseProtocol]", self.config.http_protocol_class)
        factory = partial(
            make, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        self.servers = [cast("asyncio.Server", await self._listen(factory))]
        self.started = True
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
        history_store: keeps histories over restarts.
        options: idle pings and time-outs of connections.
        membership: how it joins other hubs; None for a hub that is alone.

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
        history_store: HistoryStore | None = None,
        options: ServerOptions | None = None,
        membership: Membership | None = None,
    ) -> None:
        self._listen = listen
        self._tokens = TokenKeys.of(config)
        self._membership = membership
        self.shell = HubShell(
            config,
            loop=loop,
            new_id=new_id,
            verify=self._tokens.verify,
            usage_store=usage_store,
            history_store=history_store,
            options=options,
            trusted_proxies=listen.trusted_proxies,
            most_unauthenticated=listen.max_unauthenticated,
        )
        self._control = Control(self.shell.hub, sign)
        self._dashboard = Dashboard(self.shell, self._control) if listen.dashboard else None
        self._ready = Readiness(lambda: self.shell.plane is None or self.shell.plane.cluster.reachable)
        self._certificate: Certificate | None = None
        self._unix = None if listen.uds is None else UnixSocket(listen.uds, listen.uds_mode)
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
        """What clients name as their URL; for a unix socket, what people call it."""
        if self._listen.uds is not None:
            return f"unix:{self._listen.uds}"
        scheme = "wss" if self._listen.tls_cert else "ws"
        host = self._listen.host
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    # -- a life, in order ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind, and return once connections are accepted.

        Raises:
            HubConfigError: the address is taken or not ours, or the certificate can't be read.
        """
        self._certificate = self._read_certificate()
        listener = self._bind()
        if self._membership is not None:
            await self.shell.join(self._membership)
        self._server = _Server(self._uvicorn_config(), partial(self._accept, listener))
        self._serving = asyncio.create_task(self._server.serve(), name="hub-http")
        listening = asyncio.ensure_future(self._server.listening.wait())
        await asyncio.wait((listening, self._serving), return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self._serving.done():
            await self._serving  # raises what went wrong
        self._watch_certificate()
        if self._dashboard is not None:
            self._dashboard.start()
        self._ready.ready = True

    async def stop(self, grace: float | None = None) -> None:
        """Accept nobody, say `going_away`, close everyone with 1001, and free the port; idempotent.

        Args:
            grace: seconds that clients have to leave; by default as configured.
        """
        self._ready.ready = False
        if self._server is None or self._serving is None:
            return
        if self._dashboard is not None:
            self._dashboard.stop()
        await self.shell.shutdown(self._listen.shutdown_grace if grace is None else grace)
        self._server.should_exit = True
        await self._serving
        self._server = None
        if self._unix is not None:
            self._unix.remove()

    def renew_certificate(self) -> bool:
        """Read the certificate and its key again; True if both can be used, or there is no TLS."""
        return self._certificate is None or self._certificate.renew()

    def reconfigure(self, config: HubConfig) -> None:
        """Go on with other apps, keys and limits; whom they do not let in is closed."""
        self._tokens.take(config)
        self.shell.reconfigure(config)

    # -- how -----------------------------------------------------------------------------------------------

    def _bind(self) -> socket.socket:
        if self._unix is not None:
            return self._unix.bind()
        listener = bind(self._listen.host, self._listen.port, reuse_port=self._listen.reuse_port)
        self._port = int(listener.getsockname()[1])
        return listener

    def _read_certificate(self) -> Certificate | None:
        cert, key = self._listen.tls_cert, self._listen.tls_key
        if (cert is None) != (key is None):
            raise HubConfigError(
                "server", "tls", "a certificate and a key belong together; give both or none"
            )
        return None if cert is None or key is None else Certificate(cert, key)

    async def _accept(self, listener: socket.socket, factory: Factory) -> Accepting:
        loop = asyncio.get_running_loop()
        if self._certificate is not None:
            return TlsAcceptor(listener, factory, self._certificate, self.shell.entrance, loop)
        if self._unix is not None:
            return await loop.create_unix_server(factory, sock=listener, backlog=LISTEN_BACKLOG)
        return await loop.create_server(factory, sock=listener, backlog=LISTEN_BACKLOG)

    def _watch_certificate(self) -> None:
        if self._certificate is not None and self._server is not None:
            self._certificate.check()
            self.shell.loop.call_later(CHECK_INTERVAL, self._watch_certificate)

    def _uvicorn_config(self) -> uvicorn.Config:
        listen = self._listen
        metrics = HubMetrics(self.shell, lambda: self._ready.ready)
        routes: list[BaseRoute] = [
            metrics_route(metrics, self.shell.trusted_proxies, listen.metrics_token),
            *control_routes(self.shell, self._control),
            *(self._dashboard.routes() if self._dashboard is not None else ()),
        ]
        return uvicorn.Config(
            RequestLog(make_app(self._ready, routes), self.shell.now, self.shell.trusted_proxies),
            http=self._http_class(),
            ws=self._protocol_class(),
            lifespan="off",
            log_config=None,
            log_level="warning",  # below it, uvicorn logs request lines
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )

    def _http_class(self) -> type[HttpConnection]:
        class Connection(HttpConnection):
            entrance = self.shell.entrance

        return Connection

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
