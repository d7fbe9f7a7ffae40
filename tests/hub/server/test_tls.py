"""TLS on a real port: renewal while the hub runs, bad pairs, handshakes that never end."""

from __future__ import annotations

import asyncio
import logging
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentbus.errors import HubConfigError
from agentbus.hub.server import acceptor, server
from agentbus.hub.server.server import HubServer, Listen
from agentbus.hub.server.tls import CHECK_INTERVAL, Certificate, make_context
from tests.hub.server.running import Authority, Streams, run, running_hub, until, upgrade


def listen(folder: Path, **options: Any) -> Listen:
    return Listen(
        host="127.0.0.1", port=0, tls_cert=folder / "cert.pem", tls_key=folder / "key.pem", **options
    )


async def dial(hub: HubServer, authority: Authority) -> Streams:
    return await asyncio.open_connection(
        "127.0.0.1", hub.port, ssl=authority.context, server_hostname="localhost"
    )


def serial(streams: Streams) -> str:
    certificate = streams[1].get_extra_info("peercert")
    return str(certificate["serialNumber"])


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_renewed_certificate_serves_new_connections_and_ends_no_old_one(
    tmp_path: Path, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CHECK_INTERVAL < 60
    monkeypatch.setattr(server, "CHECK_INTERVAL", 0.01)
    authority = Authority()
    authority.write(tmp_path)

    async def main() -> None:
        async with running_hub(listen(tmp_path)) as hub:
            old = await dial(hub, authority)
            assert b"welcome" in await upgrade(old)
            authority.write(tmp_path)
            new = await dial(hub, authority)
            while serial(new) == serial(old):
                new[1].close()
                new = await dial(hub, authority)
            assert b"welcome" in await upgrade(new)
            assert hub.shell.hub.connections() == 2
            old[1].write(b"\x89\x80" + bytes(4))
            assert await old[0].readexactly(2) == b"\x8a\x00", "the old connection is alive"
            for _, writer in (old, new):
                writer.close()

    run(main(), loop)


def test_a_bad_new_pair_is_refused_with_a_line_and_the_old_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority()
    certificate = Certificate(*authority.write(tmp_path))
    old = certificate.context
    assert not certificate.check()
    authority.write(tmp_path, key=False)
    assert not certificate.check(), "the certificate is new and the key is not"
    assert certificate.context is old
    (tmp_path / "cert.pem").write_text("half a fi")
    assert not certificate.check()
    (tmp_path / "key.pem").unlink()
    assert not certificate.check()
    assert not certificate.check(), "one line per change"
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 3
    assert all("the old one goes on" in line for line in errors)
    authority.write(tmp_path)
    assert certificate.check()
    assert certificate.context is not old


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_passphrase(tmp_path: Path) -> None:
    cert, key = Authority().write(tmp_path)
    locked = tmp_path / "locked.pem"
    command = ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(HubConfigError, match="the key is encrypted"):
        Certificate(cert, locked)


def test_tls_1_2_is_the_least(tmp_path: Path) -> None:
    context = make_context(*Authority().write(tmp_path))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_is_no_tls_and_what_never_ends_its_handshake_is_dropped_and_counted(
    tmp_path: Path, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "HANDSHAKE_TIMEOUT", 0.2)
    authority = Authority()
    authority.write(tmp_path)

    async def main() -> None:
        async with running_hub(listen(tmp_path)) as hub:
            silent = await asyncio.open_connection("127.0.0.1", hub.port)
            plain = await asyncio.open_connection("127.0.0.1", hub.port)
            plain[1].write(b"GET / HTTP/1.1\r\n\r\n")
            for reader, writer in (plain, silent):
                await _ended(reader)
                writer.close()
            await until(lambda: hub.shell.traffic.refused["tls"] == 2)
            await until(lambda: not hub.shell.entrance.waiting)

    run(main(), loop)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_handshakes_count_as_sockets_without_a_credential(tmp_path: Path, loop: str) -> None:
    authority = Authority()
    authority.write(tmp_path)

    async def main() -> None:
        async with running_hub(listen(tmp_path, max_unauthenticated=2)) as hub:
            waiting = [await asyncio.open_connection("127.0.0.1", hub.port) for _ in range(3)]
            await _ended(waiting[0][0])
            assert hub.shell.traffic.refused["unauthenticated"] == 1
            inside = await dial(hub, authority)
            assert b"welcome" in await upgrade(inside)
            for _, writer in (*waiting, inside):
                writer.close()

    run(main(), loop)


async def _ended(reader: asyncio.StreamReader) -> None:
    """Wait for the end of a connection, in good order or not."""
    try:
        while await reader.read(65536):
            pass
    except ConnectionError:
        return
