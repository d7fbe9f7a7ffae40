"""The hub on a real port: HTTP and WebSockets side by side, TLS, long tokens, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme

from agentbus.errors import HubConfigError
from agentbus.hub.core import AppConfig, HubConfig, Limits, PublishableKey, SecretKey
from agentbus.hub.server.server import HubServer, Listen
from agentbus.hub.server.tokens import mint
from agentbus.runtime.loop import HostedLoop
from agentbus.wire.dial import dial
from tests.hub.server.raw_client import RawClient

SECRET = "sk_secret_0123456789abcdef0123456789abcdef"
CONFIG = HubConfig(
    apps=(
        AppConfig(
            id="test",
            publishable_keys=(PublishableKey(key="pk_live_test", channel_patterns=("**",)),),
            secret_keys=(SecretKey(id="sk_id_test", secret=SECRET),),
        ),
    ),
    limits=Limits(connects_per_minute_per_address=0),
)


@contextlib.asynccontextmanager
async def serving(listen: Listen | None = None) -> AsyncGenerator[tuple[HubServer, HostedLoop]]:
    home = HostedLoop(asyncio.get_running_loop())
    ids = iter(f"peer-{number}" for number in range(1, 1000))
    server = HubServer(CONFIG, listen or Listen(port=0), loop=home, new_id=ids.__next__)
    await server.start()
    try:
        yield server, home
    finally:
        await server.stop(1)


async def eventually(client: RawClient, kind: str) -> dict[str, Any]:
    """Wait for a frame; the suite's time-out is the limit."""
    await client.until(lambda: client.heard(kind) or client.closed)
    assert client.closed is None, client.closed
    return client.heard(kind)[-1]


async def ended(client: RawClient) -> tuple[int, str, int | None, float | None]:
    await client.until(lambda: client.closed)
    assert client.closed is not None
    return client.closed


async def http(server: HubServer, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection(host, server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 30))


def test_http_and_websockets_share_one_port() -> None:
    async def main() -> None:
        async with serving() as (server, home):
            assert await http(server, "/healthz") == (200, "ok\n")
            assert await http(server, "/readyz") == (200, "ready\n")
            status, body = await http(server, "/v1")
            assert status == 426
            assert json.loads(body)["error"] == "invalid_request"
            client = RawClient(partial(dial, proxy=None), home, "key=pk_live_test", url=server.url)
            assert (await eventually(client, "welcome"))["peerId"] == "peer-1"
            client.say("ping", requestId="1")
            assert await eventually(client, "pong") == {"type": "pong", "requestId": "1"}

    run(main())


def test_a_token_of_twelve_kilobytes_is_accepted() -> None:
    """Spec section 1: the upgrade accepts a request line of at least 32 KiB."""

    async def main() -> None:
        async with serving() as (server, home):
            token = mint(
                "sk_id_test",
                SECRET,
                subject="alice",
                issued_at=time.time(),
                metadata={"text": "m" * 8000},
                peer_metadata={"text": "p" * 4000},
            )
            assert len(token) > 16_000
            client = RawClient(partial(dial, proxy=None), home, f"token={token}", url=server.url)
            welcome = await eventually(client, "welcome")
            assert welcome["peerId"] == "alice"
            assert welcome["metadata"] == {"text": "m" * 8000}

    run(main())


def test_shutdown_says_going_away_and_frees_the_port() -> None:
    async def main() -> None:
        async with serving() as (server, home):
            client = RawClient(partial(dial, proxy=None), home, "key=pk_live_test", url=server.url)
            await eventually(client, "welcome")
            await server.stop(5)
            assert (await ended(client))[0] == 1001
            assert client.heard("going_away")
            with socket.create_server(("127.0.0.1", server.port)):
                pass

    run(main())


def test_tls_serves_wss_and_https(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())

    async def main() -> None:
        listen = Listen(
            host="localhost", port=0, tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem"
        )
        async with serving(listen) as (server, home):
            assert server.url.startswith("wss://localhost:")
            client = RawClient(
                partial(dial, ssl=context, proxy=None), home, "key=pk_live_test", url=server.url
            )
            await eventually(client, "welcome")

    run(main())


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6() -> None:
    async def main() -> None:
        async with serving(Listen(host="::1", port=0)) as (server, home):
            assert server.url.startswith("ws://[::1]:")
            client = RawClient(partial(dial, proxy=None), home, "key=pk_live_test", url=server.url)
            await eventually(client, "welcome")

    run(main())


def test_a_taken_port_is_one_clear_error() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(HubConfigError, match=rf"host and port: 127.0.0.1:{port} is in use"):
                async with serving(Listen(port=port)):
                    pass

    run(main())


def test_a_certificate_without_its_key_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(HubConfigError, match="belong together"):
            async with serving(Listen(port=0, tls_cert=tmp_path / "cert.pem")):
                pass

    run(main())


def test_no_credential_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving() as (server, home):
            for query in ("key=pk_live_test", "key=pk_live_wrong", "token=a.b.c"):
                client = RawClient(partial(dial, proxy=None), home, query, url=server.url)
                await client.until(lambda client=client: client.frames or client.closed)

    with caplog.at_level(1):
        run(main())
    for secret in ("pk_live_test", "pk_live_wrong", "a.b.c"):
        assert secret not in caplog.text
