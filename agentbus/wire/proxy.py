"""The way through a proxy: HTTP CONNECT, which needs nothing else, and SOCKS, which needs python-socks."""

from __future__ import annotations

import asyncio
import importlib
import socket
import ssl
from typing import Any, Final, cast

from websockets.headers import build_authorization_basic
from websockets.proxy import Proxy, get_proxy, parse_proxy
from websockets.uri import WebSocketURI

from agentbus.protocol.url import Origin
from agentbus.wire.head import HeadCollector, HeadError, parse_response

_SOCKS_KINDS: Final = {"socks5h": "SOCKS5", "socks5": "SOCKS5", "socks4a": "SOCKS4", "socks4": "SOCKS4"}
_RESOLVED_BY_PROXY: Final = frozenset({"socks5h", "socks4a"})


class ProxyRefusedError(OSError):
    """The proxy did not let us through.

    Attributes:
        status: its HTTP status; None for SOCKS or for an answer that is no HTTP.
    """

    def __init__(self, problem: str, status: int | None = None) -> None:
        super().__init__(problem)
        self.status = status


def proxy_for(origin: Origin, setting: str | None) -> Proxy | None:
    """Choose the proxy on the way to an origin.

    Args:
        origin: of the server.
        setting: "env" for the environment's (`WSS_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, ...), None for none, or
            a proxy's URL.

    Raises:
        websockets.exceptions.InvalidProxy: for a URL that is none; its text repeats the URL.
    """
    uri = WebSocketURI(origin.secure, origin.host, origin.port, "/", "")
    url = get_proxy(uri) if setting == "env" else setting
    return parse_proxy(url) if url else None


async def open_tunnel(
    loop: asyncio.AbstractEventLoop, proxy: Proxy, origin: Origin, proxy_ssl: ssl.SSLContext | None
) -> asyncio.Transport:
    """Open a tunnel through an HTTP proxy.

    Returns:
        A transport to the origin, whose protocol is to be replaced before anything is awaited.

    Raises:
        OSError: the proxy can't be reached or refuses.
    """
    transport, tunnel = await loop.create_connection(
        lambda: _Tunnel(loop, proxy, origin),
        proxy.host,
        proxy.port,
        ssl=proxy_ssl,
        server_hostname=proxy.host if proxy_ssl else None,
    )
    try:
        await tunnel.opened
    except BaseException:
        transport.abort()
        raise
    return transport


class _Tunnel(asyncio.Protocol):
    """Ask for a tunnel and wait for the answer's head."""

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: Proxy, origin: Origin) -> None:
        self.opened: asyncio.Future[None] = loop.create_future()
        self._collector = HeadCollector()
        self._request = _connect_request(proxy, origin)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            found = self._collector.feed(data)
            if found is not None:
                self._answered(parse_response(found[0]).status_code)
        except HeadError:
            self._refused("the proxy's answer is no HTTP")

    def _answered(self, status: int) -> None:
        if not 200 <= status < 300:
            self._refused("the proxy refuses the tunnel", status)
        elif not self.opened.done():
            self.opened.set_result(None)

    def _refused(self, problem: str, status: int | None = None) -> None:
        if not self.opened.done():
            self.opened.set_exception(ProxyRefusedError(problem, status))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- the base class names it
        self._refused("the proxy closed the connection")


def _connect_request(proxy: Proxy, origin: Origin) -> bytes:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"Host: {host}:{origin.port}"]
    if proxy.username is not None and proxy.password is not None:
        credential = build_authorization_basic(proxy.username, proxy.password)
        lines.append(f"Proxy-Authorization: {credential}")
    return "\r\n".join([*lines, "", ""]).encode()


async def open_socks(proxy: Proxy, origin: Origin) -> socket.socket:
    """Connect to an origin through a SOCKS proxy.

    Raises:
        OSError: the proxy can't be reached or refuses, or python-socks is not installed.
    """
    try:
        socks: Any = importlib.import_module("python_socks")
        aio: Any = importlib.import_module("python_socks.async_.asyncio")
    except ImportError:
        raise ProxyRefusedError("a SOCKS proxy needs the package python-socks") from None
    dialler = aio.Proxy(
        socks.ProxyType[_SOCKS_KINDS[proxy.scheme]],
        proxy.host,
        proxy.port,
        proxy.username,
        proxy.password,
        proxy.scheme in _RESOLVED_BY_PROXY,
    )
    try:
        connected: socket.socket = await dialler.connect(origin.host, origin.port)
    except (socks.ProxyError, socks.ProxyTimeoutError, socks.ProxyConnectionError) as error:
        problem = f"the SOCKS proxy does not let us through ({type(error).__name__})"
    else:
        return connected
    raise ProxyRefusedError(problem)
