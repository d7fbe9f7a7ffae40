"""The backplane over a real nats-server: order, credentials, TLS, outages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest
import trustme

from agentbus.errors import HubConfigError
from agentbus.hub.backplane.nats import NatsBackplane
from agentbus.hub.backplane.nats_options import parse_nats_url
from tests.e2e.cluster import NatsServer, need_nats, started
from tests.hub.backplane.handler import Listener

pytestmark = pytest.mark.e2e


@contextlib.contextmanager
def serving(folder: Path, settings: str = "") -> Generator[NatsServer]:
    need_nats()
    server = NatsServer(folder, settings)
    with started(server):
        yield server


@contextlib.asynccontextmanager
async def joined(url: str, life: str, **options: Any) -> AsyncGenerator[tuple[NatsBackplane, Listener]]:
    backplane, listener = NatsBackplane(parse_nats_url(url, **options)), Listener()
    await backplane.start(life, listener)
    try:
        yield backplane, listener
    finally:
        await backplane.stop()


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 40))


def test_packets_keep_their_order_and_clusters_do_not_meet(tmp_path: Path) -> None:
    async def main(url: str) -> None:
        async with (
            joined(url, "one") as (one, ones),
            joined(url, "two") as (_, twos),
            joined(url, "two", cluster="other") as (_, strangers),
        ):
            packets = [b"%d" % number for number in range(500)]
            for packet in packets:
                one.send("two", packet)
            one.send(None, b"all")
            await twos.until(lambda: len(twos.packets) == 501)
            assert [packet for packet in twos.packets if packet != b"all"] == packets
            await ones.until(lambda: ones.packets == [b"all"])
            assert strangers.packets == []

    with serving(tmp_path) as server:
        run(main(f"nats://127.0.0.1:{server.port}"))


@pytest.mark.parametrize(
    ("settings", "login", "wrong"),
    [
        ("authorization { user: hub, password: s3cr3t }", "hub:s3cr3t", "hub:wr0ng"),
        ("authorization { token: s3cr3t }", "s3cr3t", "wr0ng"),
    ],
)
def test_a_user_or_a_token_lets_in_and_a_wrong_one_is_an_error_that_shows_no_secret(
    tmp_path: Path, settings: str, login: str, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(port: int) -> None:
        async with joined(f"nats://{login}@127.0.0.1:{port}", "one") as (one, ones):
            one.send(None, b"in")
            await ones.until(lambda: ones.packets == [b"in"])
        with pytest.raises(HubConfigError, match="backplane: url: NATS refuses this hub") as refused:
            async with joined(f"nats://{wrong}@127.0.0.1:{port}", "two"):
                pass
        assert "wr0ng" not in str(refused.value)

    caplog.set_level(logging.DEBUG)
    with serving(tmp_path, settings) as server:
        run(main(server.port))
    assert "s3cr3t" not in caplog.text
    assert "wr0ng" not in caplog.text


def test_an_nkey_lets_in(tmp_path: Path) -> None:
    nkeys = pytest.importorskip("nkeys")
    seed = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    (tmp_path / "hub.nk").write_bytes(seed)

    async def main(port: int) -> None:
        async with joined(f"nats://127.0.0.1:{port}", "one", nkey_file=tmp_path / "hub.nk") as (one, ones):
            one.send(None, b"in")
            await ones.until(lambda: ones.packets == [b"in"])

    with serving(tmp_path, f"authorization {{ users: [ {{ nkey: {public} }} ] }}") as server:
        run(main(server.port))


def test_tls_with_certificates_on_both_sides(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name, certificate in (
        ("server", authority.issue_cert("127.0.0.1")),
        ("hub", authority.issue_cert("hub")),
    ):
        certificate.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
        certificate.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
    settings = (
        f'tls {{ cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server.key", '
        f'ca_file: "{tmp_path}/ca.pem", verify: true }}'
    )
    files = {"ca_file": "ca.pem", "cert_file": "hub.pem", "key_file": "hub.key"}

    async def main(port: int) -> None:
        options = {name: tmp_path / file for name, file in files.items()}
        async with joined(f"tls://127.0.0.1:{port}", "one", **options) as (one, ones):
            one.send(None, b"in")
            await ones.until(lambda: ones.packets == [b"in"])

    with serving(tmp_path, settings) as server:
        run(main(server.port))


def test_a_hub_finds_its_way_back_when_nats_was_away(tmp_path: Path) -> None:
    async def main(server: NatsServer) -> None:
        async with joined(f"nats://127.0.0.1:{server.port}", "one") as (one, ones):
            await asyncio.to_thread(server.kill)
            await ones.until(lambda: ones.lost == 1)
            one.send(None, b"lost")
            await asyncio.to_thread(server.start)
            await ones.until(lambda: ones.opened == 2)
            one.send(None, b"here")
            await ones.until(lambda: ones.packets)
            assert ones.packets == [b"here"]

    with serving(tmp_path) as server:
        run(main(server))


def test_a_hub_begins_without_nats_and_joins_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentbus.hub.backplane.nats.FIRST_CONNECT_TIMEOUT", 0.1)
    need_nats()
    server = NatsServer(tmp_path)

    async def main() -> None:
        async with joined(f"nats://127.0.0.1:{server.port}", "one") as (one, ones):
            one.send(None, b"lost")
            assert ones.opened == 0
            await asyncio.to_thread(server.start)
            await ones.until(lambda: ones.opened == 1)
            one.send(None, b"here")
            await ones.until(lambda: ones.packets == [b"here"])

    try:
        run(main())
    finally:
        server.kill()
