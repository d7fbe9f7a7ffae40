"""What a browser does, as far as a server sees it: cookies, forms, redirects that are looked at."""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from agentbus.runtime.loop import HostedLoop
from agentbus.wire.dial import dial
from tests.hub.server.door import KEY, SECRET
from tests.hub.server.raw_client import RawClient

Fields = dict[str, str]


class Page:
    """One answer."""

    def __init__(self, head: bytes, body: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = [
            (name.lower(), value) for name, _, value in (line.partition(": ") for line in lines[1:])
        ]
        self.raw = body
        self.html = body.decode()
        self.text = html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", self.html)))

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name.lower()), "")

    @property
    def form_token(self) -> str:
        found = re.search(r'name="form_token" value="([^"]+)"', self.html)
        assert found is not None
        return found[1]


class Browser:
    """A browser without a screen.

    Args:
        port: of a hub on this machine.
        headers: that it sends with every request.
    """

    def __init__(self, port: int, **headers: str) -> None:
        self._port = port
        self.headers = headers
        self.cookies: Fields = {}

    async def get(self, path: str) -> Page:
        return await self._ask("GET", path, b"")

    async def post(self, path: str, kind: str = "application/x-www-form-urlencoded", **fields: str) -> Page:
        return await self._ask("POST", path, urlencode(fields).encode(), kind)

    async def sign_in(self, key_id: str = "sk_id_test", secret: str = SECRET) -> Page:
        return await self.post("/dashboard/login", id=key_id, secret=secret)

    @asynccontextmanager
    async def live(self, query: str) -> AsyncGenerator[Stream]:
        """Take live updates for the length of the block."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(self._head("GET", f"/dashboard/live?{query}"))
        head = await reader.readuntil(b"\r\n\r\n")
        try:
            yield Stream(int(head.split()[1]), reader)
        finally:
            writer.close()

    async def _ask(self, method: str, path: str, body: bytes, kind: str = "") -> Page:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        more = f"Connection: close\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        writer.write(self._head(method, path, more) + body)
        head, _, content = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        page = Page(head, content)
        for name, value in page.headers:
            if name == "set-cookie":
                self.cookies |= {key: morsel.value for key, morsel in SimpleCookie(value).items()}
        return page

    def _head(self, method: str, path: str, more: str = "") -> bytes:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in self.headers.items())
        host = f"Host: 127.0.0.1:{self._port}\r\nCookie: {cookies}\r\n"
        return f"{method} {path} HTTP/1.1\r\n{host}{lines}{more}\r\n".encode()


class Stream:
    """Live updates of one page."""

    def __init__(self, status: int, reader: asyncio.StreamReader) -> None:
        self.status = status
        self._reader = reader

    async def event(self) -> str:
        """Wait for the next event; gives what is inside the page, or the event's name."""
        while True:
            line = (await self._reader.readline()).decode().strip()
            if line.startswith("event: "):
                return line.removeprefix("event: ")
            if line.startswith("data: "):
                return json.loads(line.removeprefix("data: "))

    async def rest(self) -> bytes:
        """Wait for the end."""
        return await self._reader.read()


def peer_of(port: int, query: str = f"key={KEY}") -> RawClient:
    """Connect a client."""
    loop = HostedLoop(asyncio.get_running_loop())
    return RawClient(partial(dial, proxy=None), loop, query, url=f"ws://127.0.0.1:{port}")


async def in_channel(port: int, channel: str, query: str = f"key={KEY}") -> RawClient:
    """Connect a client and subscribe it."""
    client = peer_of(port, query)
    await client.until(lambda: client.heard("welcome"))
    client.say("subscribe", channel=channel, requestId="s")
    await client.until(lambda: client.heard("ack"))
    return client
