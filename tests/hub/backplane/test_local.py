"""The relay of one machine: packets in order, to one or to all, and a way back after it was away."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from agentbus.hub.backplane.local import MAX_PACKET_BYTES, LocalBackplane, LocalRelay
from tests.hub.backplane.handler import Listener


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 30))


async def joined(path: Path, *lives: str) -> list[tuple[LocalBackplane, Listener]]:
    members = [(LocalBackplane(path), Listener()) for _ in lives]
    for life, (backplane, listener) in zip(lives, members, strict=True):
        await backplane.start(life, listener)
    for backplane, _ in members:
        backplane.send(None, b"all here")
    for _, listener in members:
        await listener.until(lambda listener=listener: len(listener.packets) == len(lives))
        listener.packets.clear()
    return members


def test_packets_reach_one_or_all_in_order_and_whole(tmp_path: Path) -> None:
    async def main() -> None:
        relay = LocalRelay(tmp_path / "relay")
        await relay.start()
        (one, ones), (two, twos) = await joined(tmp_path / "relay", "one", "two")
        packets = [bytes([number]) * (number * 997) for number in range(200)]
        for packet in packets:
            one.send("two", packet)
        one.send(None, b"all")
        two.send("nobody", b"lost")
        await twos.until(lambda: len(twos.packets) == 201)
        assert twos.packets == [*packets, b"all"]
        await ones.until(lambda: ones.packets)
        assert ones.packets == [b"all"]
        for backplane in (one, two):
            await backplane.stop()
        await relay.stop()

    run(main())


def test_a_hub_finds_its_way_back_when_the_relay_was_away(tmp_path: Path) -> None:
    async def main() -> None:
        relay = LocalRelay(tmp_path / "relay")
        await relay.start()
        [(one, ones)] = await joined(tmp_path / "relay", "one")
        await relay.stop()
        await ones.until(lambda: ones.lost == 1)
        one.send(None, b"lost")
        await relay.start()
        await ones.until(lambda: ones.opened == 2)
        one.send(None, b"here")
        await ones.until(lambda: ones.packets)
        assert ones.packets == [b"here"]
        await one.stop()
        await relay.stop()

    run(main())


def test_the_socket_is_for_its_user_alone(tmp_path: Path) -> None:
    async def main() -> None:
        relay = LocalRelay(tmp_path / "relay")
        await relay.start()
        assert stat.S_IMODE((tmp_path / "relay").stat().st_mode) == 0o600
        await relay.stop()
        assert not (tmp_path / "relay").exists()

    run(main())


def test_who_announces_a_packet_beyond_the_limit_is_cut_off(tmp_path: Path) -> None:
    async def main() -> None:
        relay = LocalRelay(tmp_path / "relay")
        await relay.start()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "relay"))
        writer.write((MAX_PACKET_BYTES + 1).to_bytes(4, "big"))
        assert await reader.read() == b""
        writer.close()
        await relay.stop()

    run(main())
