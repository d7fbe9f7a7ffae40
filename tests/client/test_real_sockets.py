"""The client over real sockets: TLS, and servers that do everything wrong."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme

from agentbus.client import (
    ChannelMessage,
    DisconnectedEvent,
    ReconnectOptions,
    SignallingClient,
    SignallingClientState,
    StateChange,
)
from agentbus.client import connection as connection_module
from agentbus.errors import SignallingConnectError, TokenProviderError
from agentbus.runtime import Runtime
from tests.client.test_secrets import SECRET, assert_clean, everything_about
from tests.client.world import ScriptedHub

WAIT = 10.0
QUICK = ReconnectOptions(initial_delay=0.01, multiplier=1.0, jitter_ratio=0.0)
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime()
    yield runtime
    assert runtime.close(WAIT)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with authority.issue_cert(name).private_key_and_cert_chain_pem.tempfile() as path:
        context.load_cert_chain(path)
    return context


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())


@contextmanager
def listening(
    runtime: Runtime, hub: ScriptedHub, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Generator[int]:
    """Let a scripted hub accept real connections; gives the port."""

    async def start() -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(hub.accept, host, 0, ssl=tls)

    async def stop() -> None:
        server.close()

    server = runtime.io.run(start()).get(WAIT)
    yield server.sockets[0].getsockname()[1]
    runtime.io.run(stop()).get(WAIT)


@contextmanager
def hostile(runtime: Runtime, answer: Answer) -> Generator[str]:
    """Accept TCP and do what `answer` does; gives the URL."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(reader, writer)
        await reader.read()
        writer.close()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(handle, "127.0.0.1", 0)

    async def stop() -> None:
        server.close()

    server = runtime.io.run(start()).get(WAIT)
    yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    runtime.io.run(stop()).get(WAIT)


def refused(client: SignallingClient) -> SignallingConnectError:
    with pytest.raises(SignallingConnectError) as caught:
        client.connect().get(WAIT)
    client.dispose().get(WAIT)
    return caught.value


# -- TLS and addresses ---------------------------------------------------------------------------------------


def test_wss_with_a_private_authority(runtime: Runtime, authority: trustme.CA) -> None:
    hub = ScriptedHub(runtime.io.asyncio_loop)
    with listening(runtime, hub, tls=server_context(authority, "127.0.0.1")) as port:
        url = f"wss://127.0.0.1:{port}"
        client = SignallingClient(
            api_key=SECRET, url=url, ssl=client_context(authority), reconnect=QUICK, runtime=runtime
        )
        with client:
            changes = client.events(StateChange)
            client.subscribe("room").get(WAIT)
            client.publish("room", "x" * 60_000).get(WAIT)
            runtime.io.call_soon(hub.last.cut)
            assert [changes.get(WAIT).current for _ in range(2)] == ["reconnecting", "connected"]
            for number in range(2):  # the first may be faster than the replay: nobody promised otherwise
                client.publish("room", number).get(WAIT)
            assert sorted(frame["type"] for frame in hub.last.received) == ["publish", "publish", "subscribe"]


@pytest.mark.parametrize("trusted", [True, False])
def test_wss_checks_authority_and_host_name(
    runtime: Runtime, authority: trustme.CA, caplog: pytest.LogCaptureFixture, *, trusted: bool
) -> None:
    hub = ScriptedHub(runtime.io.asyncio_loop)
    name = "elsewhere.example" if trusted else "127.0.0.1"
    context = client_context(authority) if trusted else None
    with (
        caplog.at_level(1),
        listening(runtime, hub, tls=server_context(authority, name)) as port,
    ):
        url = f"wss://127.0.0.1:{port}"
        error = refused(SignallingClient(api_key=SECRET, url=url, ssl=context, runtime=runtime))
    assert error.close_code == 1006
    assert "certificate" in error.reason
    assert hub.dials == [] or hub.last.query == {}
    assert_clean(everything_about(error), caplog.text)


def test_ipv6(runtime: Runtime) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    hub = ScriptedHub(runtime.io.asyncio_loop)
    with listening(runtime, hub, host="::1") as port:
        client = SignallingClient(api_key=SECRET, url=f"ws://[::1]:{port}", runtime=runtime)
        with client:
            assert client.state is SignallingClientState.CONNECTED


def test_nobody_listens(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with caplog.at_level(1):
        error = refused(SignallingClient(api_key=SECRET, url=f"ws://127.0.0.1:{port}", runtime=runtime))
    assert error.close_code == 1006
    assert_clean(everything_about(error), caplog.text)


# -- servers that do everything wrong ------------------------------------------------------------------------


def test_a_server_that_accepts_and_never_answers(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    async def say_nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        pass

    monkeypatch.setattr(connection_module, "WELCOME_TIMEOUT", 0.2)
    with hostile(runtime, say_nothing) as url:
        assert refused(SignallingClient(api_key=SECRET, url=url, runtime=runtime)).close_code == 4000


HTTP = b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n"
UPGRADE_OF_NOTHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: bm9uc2Vuc2U=\r\n\r\n"
)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x00\xff\x00\xff" * 1000, None),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", None),
        (b"HTTP/1.1 101 Swi", None),
        (b"x" * 100_000, None),
        (UPGRADE_OF_NOTHING, None),
        (HTTP % b"200 OK", 200),
        (HTTP % b"302 Found\r\nLocation: ws://127.0.0.1:1/", 302),
        (HTTP % b"429 Too Many\r\nRetry-After: 3", 429),
    ],
)
def test_garbage_instead_of_an_upgrade(
    runtime: Runtime, caplog: pytest.LogCaptureFixture, sent: bytes, status: int | None
) -> None:
    async def send_it(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        writer.write_eof()

    with caplog.at_level(1), hostile(runtime, send_it) as url:
        error = refused(SignallingClient(api_key=SECRET, url=url, runtime=runtime))
    assert (error.close_code, error.http_status) == (1006, status)
    assert_clean(everything_about(error), caplog.text)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x7f" + (1 << 21).to_bytes(8, "big") + b"x" * 1000, 1009),
        (b"\x81\x7f" + (1 << 62).to_bytes(8, "big"), 1009),
        (b"\xff\x00", 1002),
        (b"\x81\x02\xff\xff", 1007),
    ],
)
def test_frames_that_break_the_rules(runtime: Runtime, frame: bytes, code: int) -> None:
    hub = ScriptedHub(runtime.io.asyncio_loop)
    with listening(runtime, hub) as port:
        url = f"ws://127.0.0.1:{port}"
        with SignallingClient(api_key=SECRET, url=url, reconnect=QUICK, runtime=runtime) as client:
            ended, back = client.events(DisconnectedEvent), client.events(StateChange)
            runtime.io.call_soon(hub.last.connection.send_frames, frame)
            event = ended.get(WAIT)
            assert (event.code, event.will_reconnect) == (code, True)
            assert [back.get(WAIT).current for _ in range(2)] == ["reconnecting", "connected"]


def test_half_a_frame(runtime: Runtime) -> None:
    hub = ScriptedHub(runtime.io.asyncio_loop)
    with listening(runtime, hub) as port:
        url = f"ws://127.0.0.1:{port}"
        with SignallingClient(api_key=SECRET, url=url, reconnect=QUICK, runtime=runtime) as client:
            ended, messages = client.events(DisconnectedEvent), client.events(ChannelMessage)

            async def half() -> None:
                hub.last.message("room", "whole")
                hub.last.connection.send_frames(b"\x81\x7e\x10\x00half")
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                connection: Any = hub.last.connection
                assert connection._transport is not None
                connection._transport.close()  # pull the plug

            runtime.io.run(half()).get(WAIT)
            assert messages.get(WAIT).data == "whole"
            assert ended.get(WAIT).code == 1006


# -- secrets, once more --------------------------------------------------------------------------------------


def test_a_failing_token_provider_on_a_thread(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    def provider() -> str:
        token = SECRET
        raise ValueError(len(token))

    client = SignallingClient(token_provider=provider, runtime=runtime)
    with caplog.at_level(1), pytest.raises(TokenProviderError) as caught:
        client.connect().get(WAIT)
    client.dispose().get(WAIT)
    assert isinstance(caught.value.__cause__, ValueError)
    assert_clean(everything_about(caught.value), caplog.text)


def test_a_session_at_the_most_talkative_level(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("agentbus", "asyncio", "websockets"):
        caplog.set_level(1, name)
    hub = ScriptedHub(runtime.io.asyncio_loop)
    with caplog.at_level(1), listening(runtime, hub) as port:
        url = f"ws://127.0.0.1:{port}"
        logger = logging.getLogger("mine")
        client = SignallingClient(token_provider=lambda: SECRET, url=url, logger=logger, runtime=runtime)
        with client:
            client.publish("room", 1).get(WAIT)
    assert hub.last.query == {"token": [SECRET]}
    assert any(record.name == "mine" for record in caplog.records)
    assert_clean(caplog.text)
