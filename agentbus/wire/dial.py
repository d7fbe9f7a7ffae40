"""The real way to a server: TCP, TLS and proxies."""

from __future__ import annotations

import asyncio
import functools
import os
import ssl as tls

from agentbus.protocol.url import Origin
from agentbus.runtime.loop import Loop
from agentbus.wire.client import ClientConnection, ClientOptions
from agentbus.wire.proxy import ProxyRefusedError, open_socks, open_tunnel, proxy_for
from agentbus.wire.transport import Target, Transport, TransportHandler

_SECOND_ADDRESS_DELAY = 0.25


def dial(
    target: Target,
    handler: TransportHandler,
    loop: Loop,
    *,
    ssl: tls.SSLContext | None = None,
    proxy: str | None = "env",
    options: ClientOptions | None = None,
) -> Transport:
    """Dial a server without waiting; a `TransportFactory` as it stands, or with some of its options bound.

    Args:
        target: where to connect and what to ask for.
        handler: who is told; a failure to connect is its `on_closed`.
        loop: on which all of it happens, and on whose thread this is called.
        ssl: TLS settings for `wss`; by default the system's authorities, with the host name checked.
        proxy: "env" for the environment's proxies, None for none, or a proxy's URL.
        options: limits, and the source of masking keys.
    """
    connection = ClientConnection(target, handler, loop, options)
    connection.start(functools.partial(_open, connection, target.origin, loop.asyncio_loop, ssl, proxy))
    return connection


def default_ssl_context() -> tls.SSLContext:
    """Give the TLS settings of a client that trusts the system's authorities, read once per process."""
    return _ssl_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.lru_cache(maxsize=4)
def _ssl_context(_file: str | None, _folder: str | None) -> tls.SSLContext:
    # OpenSSL reads both variables itself. Loading the authorities takes some 20 ms: too long for every dial.
    return tls.create_default_context()


async def _open(
    connection: ClientConnection,
    origin: Origin,
    loop: asyncio.AbstractEventLoop,
    ssl: tls.SSLContext | None,
    setting: str | None,
) -> None:
    context = (ssl or default_ssl_context()) if origin.secure else None
    name = origin.host if context else None
    proxy = proxy_for(origin, setting)
    if proxy is None:
        await _open_direct(connection, origin, loop, context)
    elif proxy.scheme.startswith("socks"):
        sock = await open_socks(proxy, origin)
        await loop.create_connection(lambda: connection, sock=sock, ssl=context, server_hostname=name)
    else:
        proxy_ssl = default_ssl_context() if proxy.scheme == "https" else None
        try:
            tunnel = await open_tunnel(loop, proxy, origin, proxy_ssl)
        except ProxyRefusedError as error:
            connection.fail(str(error), error.status)
            return
        await _enter_tunnel(connection, tunnel, loop, context, name)


async def _open_direct(
    connection: ClientConnection,
    origin: Origin,
    loop: asyncio.AbstractEventLoop,
    context: tls.SSLContext | None,
) -> None:
    name = origin.host if context else None
    if isinstance(loop, asyncio.BaseEventLoop):
        # uvloop tries one address after the other; asyncio can try the next while one does not answer.
        await loop.create_connection(
            lambda: connection,
            origin.host,
            origin.port,
            ssl=context,
            server_hostname=name,
            happy_eyeballs_delay=_SECOND_ADDRESS_DELAY,
        )
    else:
        await loop.create_connection(
            lambda: connection, origin.host, origin.port, ssl=context, server_hostname=name
        )


async def _enter_tunnel(
    connection: ClientConnection,
    tunnel: asyncio.Transport,
    loop: asyncio.AbstractEventLoop,
    context: tls.SSLContext | None,
    name: str | None,
) -> None:
    transport: asyncio.Transport | None = tunnel
    if context is None:
        tunnel.set_protocol(connection)
    else:
        transport = await loop.start_tls(tunnel, connection, context, server_hostname=name)
    if transport is None:
        raise ConnectionResetError("the tunnel closed before TLS was up")
    connection.connection_made(transport)
