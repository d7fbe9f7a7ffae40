"""Where a hub listens: unix sockets, both families of addresses."""

from __future__ import annotations

import asyncio
import resource
import socket
import stat
from pathlib import Path

import pytest

from agentbus.errors import HubConfigError
from agentbus.hub.server.listening import UnixSocket, use_all_files
from agentbus.hub.server.server import Listen
from tests.hub.server.running import run, running_hub, upgrade


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_unix_socket_carries_http_and_websockets_and_goes_with_its_hub(tmp_path: Path, loop: str) -> None:
    path = tmp_path / "hub.sock"

    async def main() -> None:
        async with running_hub(Listen(uds=path, uds_mode=0o660)) as hub:
            assert hub.url == f"unix:{path}"
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            streams = await asyncio.open_unix_connection(path)
            assert b"welcome" in await upgrade(streams)
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n")
            assert b"200 OK" in await reader.read()
            writer.close()
            streams[1].close()
        assert not path.exists()

    run(main(), loop)


def test_what_a_killed_hub_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    left.bind(str(path))
    left.close()
    unix = UnixSocket(path, 0o600)
    with unix.bind():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    unix.remove()
    assert not path.exists()


def test_what_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with UnixSocket(path, 0o600).bind():
        with pytest.raises(HubConfigError, match="is in use"):
            UnixSocket(path, 0o600).bind()
        assert path.exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("x")
    with pytest.raises(HubConfigError, match="is no socket"):
        UnixSocket(path, 0o600).bind()
    assert path.read_text() == "x"


def test_a_socket_that_another_hub_has_made_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    first, second = UnixSocket(path, 0o600), UnixSocket(path, 0o600)
    first.bind().close()
    with second.bind():
        first.remove()
        assert path.exists()


def test_a_folder_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(HubConfigError, match="No such file"):
        UnixSocket(tmp_path / "nowhere" / "hub.sock", 0o600).bind()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no dual-stack sockets")
def test_every_address_means_both_families_and_an_ipv4_client_keeps_its_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "agentbus.hub.connections")

    async def main() -> None:
        async with running_hub(Listen(host="::", port=0)) as hub:
            for host in ("127.0.0.1", "::1"):
                streams = await asyncio.open_connection(host, hub.port)
                assert b"welcome" in await upgrade(streams)
                streams[1].close()

    run(main())
    assert " address=127.0.0.1 " in caplog.text
    assert " address=::1 " in caplog.text


def test_a_hub_may_have_as_many_files_open_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, before[1]), before[1]))
        assert use_all_files() == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
