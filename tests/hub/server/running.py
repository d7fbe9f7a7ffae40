"""A hub on a real port for the length of a block, and plain clients of it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import trustme
import uvloop

from agentbus.hub.core import HubConfig, Limits
from agentbus.hub.server.server import HubServer, Listen
from agentbus.runtime.loop import HostedLoop
from tests.hub.server.door import KEY, UPGRADE, app

CONFIG = HubConfig(apps=(app(),), limits=Limits(connects_per_minute_per_address=0))
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@contextlib.asynccontextmanager
async def running_hub(listen: Listen | None = None, config: HubConfig = CONFIG) -> AsyncGenerator[HubServer]:
    home = HostedLoop(asyncio.get_running_loop())
    ids = iter(f"peer-{number}" for number in range(1, 100_000))
    server = HubServer(config, listen or Listen(port=0), loop=home, new_id=ids.__next__)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0.5)


def run(main: Coroutine[Any, Any, None], loop: str = "asyncio") -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.wait_for(main, 40))


class Authority:
    """Makes certificates for localhost, and a context that trusts them."""

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self.context = ssl.create_default_context(cadata=self._authority.cert_pem.bytes().decode())

    def write(self, folder: Path, *, key: bool = True, cert: bool = True) -> tuple[Path, Path]:
        """Write a new pair, or half of one, over what is there."""
        issued = self._authority.issue_cert("localhost")
        paths = folder / "cert.pem", folder / "key.pem"
        if cert:
            issued.cert_chain_pems[0].write_to_path(paths[0])
        if key:
            issued.private_key_pem.write_to_path(paths[1])
        return paths


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def upgrade(streams: Streams, query: str = f"key={KEY}") -> bytes:
    """Upgrade a connection; return what came up to the welcome, or up to the end."""
    reader, writer = streams
    writer.write(UPGRADE % (query.encode(), b""))
    data = await reader.readuntil(b"\r\n\r\n")
    if b" 101 " in data:
        data += await reader.read(65536)
    return data


async def until(happened: Callable[[], object]) -> None:
    """Let the loop run until it is so; the test's time-out is the limit."""
    while not happened():  # noqa: ASYNC110 -- what happens in the hub sets no event
        await asyncio.sleep(0)
