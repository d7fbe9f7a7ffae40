"""The steps of an examination that touch the network: each does one thing and lets its error out."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from msgspec import Struct
from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.proxy import get_proxy, parse_proxy
from websockets.uri import WebSocketURI

from agentbus.protocol import Origin

_CHUNK = 65536
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Answer(Struct, frozen=True):
    """How a server answered the upgrade."""

    status: int
    reason: str
    retry_after: str | None
    date: str | None


def proxy_for(origin: Origin) -> str | None:
    """The proxy that the environment names for a hub, as `scheme://host:port` without its login."""
    named = get_proxy(_uri(origin))
    if named is None:
        return None
    proxy = parse_proxy(named)
    return f"{proxy.scheme}://{proxy.host}:{proxy.port}"


async def resolve(origin: Origin) -> list[str]:
    """The addresses of a hub's name, in the order of preference.

    Raises:
        socket.gaierror: the name has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@asynccontextmanager
async def connection(origin: Origin, *, secure: bool) -> AsyncGenerator[Streams]:
    """Hold a connection to a hub, with TLS or only with TCP.

    Raises:
        OSError: it did not come up; `ssl.SSLError` is one.
    """
    context = ssl.create_default_context() if secure else None
    reader, writer = await asyncio.open_connection(origin.host, origin.port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def tls_version(origin: Origin) -> str:
    """Shake hands by TLS, check certificate and name, and leave.

    Raises:
        OSError: no connection, no TLS or no trust; `ssl.SSLError` is one.
    """
    async with connection(origin, secure=True) as (_, writer):
        return str(writer.get_extra_info("ssl_object").version())


async def upgrade(origin: Origin) -> Answer:
    """Ask for the upgrade to WebSocket, without a credential, and leave.

    Raises:
        ValueError: the answer is no HTTP.
        OSError: the connection ended.
    """
    protocol = ClientProtocol(_uri(origin))
    protocol.send_request(protocol.connect())
    async with connection(origin, secure=origin.secure) as (reader, writer):
        writer.writelines(protocol.data_to_send())
        response = await _response(protocol, reader)
    headers = response.headers
    return Answer(
        response.status_code, response.reason_phrase, headers.get("Retry-After"), headers.get("Date")
    )


async def _response(protocol: ClientProtocol, reader: asyncio.StreamReader) -> Response:
    while True:
        data = await reader.read(_CHUNK)
        if data:
            protocol.receive_data(data)
        else:
            protocol.receive_eof()
        response = next((event for event in protocol.events_received() if isinstance(event, Response)), None)
        if response is not None:
            return response
        if protocol.handshake_exc is not None:
            raise ValueError(str(protocol.handshake_exc.__cause__ or protocol.handshake_exc))


def _uri(origin: Origin) -> WebSocketURI:
    return WebSocketURI(origin.secure, origin.host, origin.port, "/v1", "")
