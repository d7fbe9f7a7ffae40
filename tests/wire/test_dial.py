"""The real way to a server, over loopback sockets: TLS, IPv6, proxies, and servers that misbehave."""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from agentbus.protocol.url import check_origin
from agentbus.runtime.loop import HostedLoop
from agentbus.wire import (
    Flusher,
    ServerConnection,
    ServerOptions,
    Target,
    Transport,
    default_ssl_context,
    dial,
    frame_text,
)
from tests.wire.fakes import SECRET, ClientEar, RawPeer, RawServer, ServerEar

Runner = Callable[[Coroutine[Any, Any, None]], None]


def run_asyncio(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 20.0))


def run_uvloop(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(main, 20.0))


@pytest.fixture(params=[run_asyncio, run_uvloop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Runner:
    runner: Runner = request.param
    return runner


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate: Any = authority.issue_cert(*names)  # its methods are half typed
    certificate.configure_cert(context)
    return context


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    trusted: Any = authority  # its methods are half typed
    trusted.configure_trust(context)
    return context


def call(url: str, ear: ClientEar, **options: Any) -> Transport:
    target = Target(check_origin(url), f"/v1?key={SECRET}")
    options.setdefault("proxy", None)
    return dial(target, ear, HostedLoop(asyncio.get_running_loop()), **options)


Factory = Callable[[], RawPeer | ServerConnection]


@asynccontextmanager
async def listening(
    factory: Factory, host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> AsyncGenerator[int]:
    accepted: list[RawPeer | ServerConnection] = []

    def accept() -> RawPeer | ServerConnection:
        accepted.append(factory())
        return accepted[-1]

    server = await asyncio.get_running_loop().create_server(accept, host, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for protocol in accepted:
            protocol.abort()
        for _ in range(5):
            await asyncio.sleep(0)


def echoing() -> Callable[[], ServerConnection]:
    flusher = Flusher(asyncio.get_running_loop())

    def make() -> ServerConnection:
        ear = ServerEar()
        ear.on_message = lambda payload: ear.connection.send_text(b"echo " + payload)
        return ServerConnection(ear, flusher, ServerOptions())

    return make


async def exchange(ear: ClientEar, transport: Transport) -> None:
    """Have one message echoed, and close."""
    await ear.until("open")
    transport.send_text(b"hello")
    await ear.until(b"echo hello")
    transport.close(1000, "done")
    await ear.until("closed")
    assert ear.closed == [(1000, "done", None, None)]


# -- straight ------------------------------------------------------------------------------------------------


def test_plain_on_both_loops(run: Runner) -> None:
    async def main() -> None:
        async with listening(echoing()) as port:
            ear = ClientEar()
            await exchange(ear, call(f"ws://127.0.0.1:{port}", ear))

    run(main())


def test_ipv6(run: Runner) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")

    async def main() -> None:
        async with listening(echoing(), "::1") as port:
            ear = ClientEar()
            await exchange(ear, call(f"ws://[::1]:{port}", ear))

    run(main())


def test_messages_larger_than_any_buffer_pass_with_back_pressure(run: Runner) -> None:
    async def main() -> None:
        received = RawServer()
        async with listening(lambda: received) as port:
            ear = ClientEar()
            transport = call(f"ws://127.0.0.1:{port}", ear)
            await ear.until("open")
            received.transport.pause_reading()
            for _ in range(40):
                transport.send_text(b"x" * 500_000)
            await ear.until("pause")
            assert transport.write_buffer_bytes > 64 * 1024
            received.transport.resume_reading()
            await ear.until("resume")
            transport.abort()
            await ear.until("closed")

    run(main())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_refused_connection_is_1006(run: Runner, host: str) -> None:
    async def main() -> None:
        async with listening(RawPeer) as port:
            pass
        ear = ClientEar()
        call(f"ws://{host}:{port}", ear)
        await ear.until("closed")
        [(code, reason, status, _)] = ear.closed
        assert (code, status) == (1006, None)
        assert reason

    run(main())


def test_a_name_that_does_not_exist_is_1006() -> None:
    async def main() -> None:
        ear = ClientEar()
        call("wss://no-such-host.invalid", ear)
        await ear.until("closed")
        assert ear.closed[0][0] == 1006

    run_asyncio(main())


# -- TLS -----------------------------------------------------------------------------------------------------


def test_tls_with_a_private_authority(run: Runner, authority: trustme.CA) -> None:
    async def main() -> None:
        async with listening(echoing(), context=server_context(authority, "localhost")) as port:
            ear = ClientEar()
            await exchange(ear, call(f"wss://localhost:{port}", ear, ssl=client_context(authority)))

    run(main())


def test_an_authority_from_the_environment(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    before = default_ssl_context()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert default_ssl_context() is default_ssl_context() is not before

    async def main() -> None:
        async with listening(echoing(), context=server_context(authority, "localhost")) as port:
            ear = ClientEar()
            await exchange(ear, call(f"wss://localhost:{port}", ear))

    run_asyncio(main())


def test_a_wrong_host_name_is_refused(run: Runner, authority: trustme.CA) -> None:
    async def main() -> None:
        server = RawPeer()
        async with listening(lambda: server, context=server_context(authority, "elsewhere.example")) as port:
            ear = ClientEar()
            call(f"wss://localhost:{port}", ear, ssl=client_context(authority))
            await ear.until("closed")
            assert ear.closed[0][0] == 1006
            assert "mismatch" in ear.closed[0][1].lower()
        assert server.data == b""

    run(main())


def test_an_unknown_authority_is_refused(run: Runner, authority: trustme.CA) -> None:
    async def main() -> None:
        server = RawPeer()
        async with listening(lambda: server, context=server_context(authority, "localhost")) as port:
            ear = ClientEar()
            call(f"wss://localhost:{port}", ear)
            await ear.until("closed")
            assert ear.closed[0][:2][0] == 1006
            assert "certificate" in ear.closed[0][1].lower()
        assert server.data == b""

    run(main())


def test_a_server_that_speaks_no_tls_is_1006(run: Runner) -> None:
    async def main() -> None:
        def greeting() -> RawPeer:
            peer = RawPeer()
            peer.on_data = lambda peer, _data: peer.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return peer

        async with listening(greeting) as port:
            ear = ClientEar()
            call(f"wss://localhost:{port}", ear, ssl=ssl.create_default_context())
            await ear.until("closed")
            assert ear.closed[0][0] == 1006

    run(main())


# -- proxies -------------------------------------------------------------------------------------------------


class HttpProxy(RawPeer):
    """An HTTP proxy that opens tunnels, or refuses with a status."""

    def __init__(self, refuse_with: bytes = b"") -> None:
        super().__init__()
        self.far: Pump | None = None
        self._refuse_with = refuse_with
        self._tasks: set[asyncio.Task[None]] = set()

    def data_received(self, data: bytes) -> None:
        if self.far is not None:
            self.far.transport.write(data)
            return
        super().data_received(data)
        if self.data.endswith(b"\r\n\r\n"):
            task = asyncio.get_running_loop().create_task(self._connect())
            self._tasks.add(task)

    async def _connect(self) -> None:
        if self._refuse_with:
            self.transport.write(b"HTTP/1.1 " + self._refuse_with + b"\r\nContent-Length: 0\r\n\r\n")
            return
        _, host, _ = self.data.split(b" ", 2)
        name, _, port = host.decode().rpartition(":")
        _, self.far = await asyncio.get_running_loop().create_connection(
            lambda: Pump(self.transport), name.strip("[]"), int(port)
        )
        self.transport.write(b"HTTP/1.0 200 Connection established\r\n\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        if self.far is not None:
            self.far.transport.close()


class Pump(RawPeer):
    """The far half of a tunnel."""

    def __init__(self, back: asyncio.Transport) -> None:
        super().__init__()
        self.on_data = lambda _peer, data: back.write(data)
        self._back = back

    def connection_lost(self, exc: Exception | None) -> None:
        self._back.close()


def test_a_tunnel_through_the_environments_proxy(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        proxy = HttpProxy()
        async with listening(echoing()) as port, listening(lambda: proxy) as proxy_port:
            monkeypatch.setenv("no_proxy", "")
            monkeypatch.setenv("http_proxy", f"http://user:p%40ss@127.0.0.1:{proxy_port}")
            ear = ClientEar()
            await exchange(ear, call(f"ws://127.0.0.1:{port}", ear, proxy="env"))
            assert proxy.data.startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % port)
            assert b"Basic " + base64.b64encode(b"user:p@ss") in proxy.data
            assert SECRET.encode() not in proxy.data
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
            ear = ClientEar()
            await exchange(ear, call(f"ws://127.0.0.1:{port}", ear, proxy="env"))

    run(main())


@pytest.mark.parametrize("proxy_scheme", ["http", "https"])
def test_tls_through_a_tunnel(
    run: Runner, authority: trustme.CA, proxy_scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = server_context(authority, "localhost")

    async def main() -> None:
        proxy_tls = context if proxy_scheme == "https" else None
        async with (
            listening(echoing(), context=context) as port,
            listening(HttpProxy, context=proxy_tls) as proxy_port,
        ):
            ear = ClientEar()
            proxy = f"{proxy_scheme}://localhost:{proxy_port}"
            await exchange(ear, call(f"wss://localhost:{port}", ear, proxy=proxy))

    run(main())


def test_a_wrong_host_name_behind_a_tunnel_is_refused(run: Runner, authority: trustme.CA) -> None:
    async def main() -> None:
        context = server_context(authority, "elsewhere.example")
        async with listening(RawPeer, context=context) as port, listening(HttpProxy) as proxy_port:
            ear = ClientEar()
            proxy = f"http://127.0.0.1:{proxy_port}"
            call(f"wss://localhost:{port}", ear, proxy=proxy, ssl=client_context(authority))
            await ear.until("closed")
            assert ear.closed[0][0] == 1006
            assert "mismatch" in ear.closed[0][1].lower()

    run(main())


@pytest.mark.parametrize(
    ("answer", "status"), [(b"407 Proxy Authentication Required", 407), (b"502 Bad Gateway", 502)]
)
def test_a_proxy_that_refuses_is_1006_with_its_status(run: Runner, answer: bytes, status: int) -> None:
    async def main() -> None:
        async with listening(lambda: HttpProxy(answer)) as port:
            ear = ClientEar()
            call("wss://hub.example", ear, proxy=f"http://127.0.0.1:{port}")
            await ear.until("closed")
            assert ear.closed == [(1006, "the proxy refuses the tunnel", status, None)]

    run(main())


@pytest.mark.parametrize("behaviour", ["garbage", "hang up", "no proxy at all", "bad URL"])
def test_a_broken_proxy_is_1006_and_its_password_stays_secret(run: Runner, behaviour: str) -> None:
    def proxy() -> RawPeer:
        peer = RawPeer()
        if behaviour == "garbage":
            peer.on_data = lambda peer, _data: peer.transport.write(b"SSH-2.0\r\n\r\n")
        else:
            peer.on_data = lambda peer, _data: peer.transport.close()
        return peer

    async def main() -> None:
        async with listening(proxy) as port:
            urls = {"no proxy at all": "http://u:hunter2@127.0.0.1:1", "bad URL": "ftp://u:hunter2@h/"}
            ear = ClientEar()
            url = urls.get(behaviour, f"http://u:hunter2@127.0.0.1:{port}")
            call("wss://hub.example", ear, proxy=url)
            await ear.until("closed")
            assert ear.closed[0][0] == 1006
            assert "hunter2" not in ear.closed[0][1]

    run(main())


class SocksProxy(RawPeer):
    """A SOCKS5 proxy without authentication that connects, or refuses."""

    def __init__(self, *, refuse: bool = False) -> None:
        super().__init__()
        self._refuse = refuse
        self._far: Pump | None = None
        self._greeted = False
        self._tasks: set[asyncio.Task[None]] = set()

    def data_received(self, data: bytes) -> None:
        if self._far is not None:
            self._far.transport.write(data)
        elif not self._greeted:
            self._greeted = True
            self.transport.write(b"\x05\x00")
        else:
            self._tasks.add(asyncio.get_running_loop().create_task(self._connect(data)))

    async def _connect(self, request: bytes) -> None:
        if self._refuse:
            self.transport.write(b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00")
            return
        size = request[4]
        name, port = request[5 : 5 + size].decode(), int.from_bytes(request[5 + size : 7 + size], "big")
        _, self._far = await asyncio.get_running_loop().create_connection(
            lambda: Pump(self.transport), name, port
        )
        self.transport.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")


def test_socks(run: Runner) -> None:
    async def main() -> None:
        async with listening(echoing()) as port, listening(SocksProxy) as proxy_port:
            ear = ClientEar()
            proxy = f"socks5h://127.0.0.1:{proxy_port}"
            await exchange(ear, call(f"ws://localhost:{port}", ear, proxy=proxy))

    run(main())


def test_a_socks_proxy_that_refuses_is_1006(run: Runner) -> None:
    async def main() -> None:
        async with listening(lambda: SocksProxy(refuse=True)) as port:
            ear = ClientEar()
            call("wss://hub.example", ear, proxy=f"socks5h://127.0.0.1:{port}")
            await ear.until("closed")
            assert ear.closed[0][0] == 1006
            assert "SOCKS" in ear.closed[0][1]

    run(main())


# -- servers that misbehave ----------------------------------------------------------------------------------


def test_a_server_that_accepts_and_never_answers(run: Runner) -> None:
    async def main() -> None:
        server = RawPeer()
        asked = asyncio.Event()
        server.on_data = lambda _peer, _data: asked.set()
        async with listening(lambda: server) as port:
            ear = ClientEar()
            transport = call(f"ws://127.0.0.1:{port}", ear)
            await asked.wait()
            transport.abort(4000)
            await ear.until("closed")
            assert ear.closed == [(4000, "", None, None)]

    run(main())


def test_a_tls_handshake_that_never_ends_can_be_aborted(run: Runner) -> None:
    async def main() -> None:
        server = RawPeer()
        greeted = asyncio.Event()
        server.on_data = lambda _peer, _data: greeted.set()
        async with listening(lambda: server) as port:
            ear = ClientEar()
            transport = call(f"wss://localhost:{port}", ear, ssl=ssl.create_default_context())
            await greeted.wait()
            transport.abort(4000)
            await ear.until("closed")
            assert ear.closed == [(4000, "", None, None)]

    run(main())


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\xff\x00garbage", 1002),
        (frame_text(b"x" * ((1 << 20) + 1)), 1009),
        (b"\x81\x7f" + b"\xff" * 8, 1009),
        (frame_text(b"half a frame")[:6], 1006),
    ],
    ids=["garbage", "huge frame", "absurd length", "half a frame"],
)
def test_what_a_hostile_server_sends_ends_the_connection(run: Runner, sent: bytes, code: int) -> None:
    async def main() -> None:
        server = RawServer(after_upgrade=frame_text(b"fine") + sent)
        async with listening(lambda: server) as port:
            ear = ClientEar()
            call(f"ws://127.0.0.1:{port}", ear)
            await ear.until(b"fine")
            server.transport.close()
            await ear.until("closed")
            assert ear.closed[0][0] == code
            assert ear.messages == [b"fine"]

    run(main())


def test_nothing_of_the_credential_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_debug(True)
        async with listening(echoing()) as port:
            ear = ClientEar()
            await exchange(ear, call(f"ws://127.0.0.1:{port}", ear))

    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "websockets"):
        run_asyncio(main())
    assert SECRET not in caplog.text
