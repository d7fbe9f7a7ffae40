from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest

from agentbus.cli.demo.relay import Relay

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Scenario = Callable[[], Coroutine[None, None, None]]
Run = Callable[[Scenario], None]


@asynccontextmanager
async def echo_behind_relay() -> AsyncGenerator[tuple[Relay, int]]:
    busy: set[asyncio.Task[None] | None] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        busy.add(asyncio.current_task())
        try:
            while data := await reader.read(100):
                writer.write(data)
        except ConnectionError:
            pass
        writer.transport.abort()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    relay = Relay(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        url = await relay.start()
        yield relay, int(url.rpartition(":")[2])
        await relay.stop()
        await asyncio.wait([task for task in busy if task])


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a scenario on either kind of loop: they differ in what a closed transport does."""
    module = pytest.importorskip(request.param)

    def run(scenario: Scenario) -> None:
        with asyncio.Runner(loop_factory=module.new_event_loop) as runner:
            runner.run(scenario())

    return run


async def exchange(streams: Streams, data: bytes) -> bytes:
    reader, writer = streams
    writer.write(data)
    return await reader.readexactly(len(data))


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read(1) == b""
    except ConnectionResetError:
        return True


def test_it_passes_bytes_on_and_cuts_the_connection_that_carries_the_marker(run: Run) -> None:
    async def scenario() -> None:
        cuts: list[str] = []
        async with echo_behind_relay() as (relay, port):
            first = await asyncio.open_connection("127.0.0.1", port)
            second = await asyncio.open_connection("127.0.0.1", port)
            assert await exchange(first, b"hello") == b"hello"
            relay.cut_at(b"MARK", lambda: cuts.append("cut"))
            assert await exchange(first, b"harmless") == b"harmless"
            second[1].write(b"xxMARKxx")
            assert await ended(second[0])
            assert cuts == ["cut"]
            assert await exchange(first, b"MARK again") == b"MARK again"
            first[1].close()
            second[1].close()

    run(scenario)


def test_a_marker_across_two_chunks_is_seen(run: Run) -> None:
    async def scenario() -> None:
        async with echo_behind_relay() as (relay, port):
            streams = await asyncio.open_connection("127.0.0.1", port)
            relay.cut_at(b"MARKER", lambda: None)
            assert await exchange(streams, b"..MAR") == b"..MAR"
            streams[1].write(b"KER..")
            assert await ended(streams[0])
            streams[1].close()

    run(scenario)


def test_a_worker_is_silenced_and_its_end_ends_the_connection(run: Run) -> None:
    async def scenario() -> None:
        struck: list[str] = []
        async with echo_behind_relay() as (relay, port):
            first = await asyncio.open_connection("127.0.0.1", port)
            relay.silence_at(b"MARK", lambda: struck.append("silence"))
            relay.cut_at(b"MARK", lambda: struck.append("cut"))
            first[1].write(b"MARK")
            second = await asyncio.open_connection("127.0.0.1", port)
            while not struck:
                assert await exchange(second, b"x") == b"x"
            first[1].write(b"and more")
            first[1].write_eof()
            assert await ended(first[0])
            second[1].write(b"MARK")
            assert await ended(second[0])
            assert struck == ["silence", "cut"]
            first[1].close()
            second[1].close()

    run(scenario)


@pytest.mark.parametrize("closer", ["client", "relay"])
def test_when_one_end_goes_the_other_goes_too(run: Run, closer: str) -> None:
    async def scenario() -> None:
        async with echo_behind_relay() as (relay, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await exchange((reader, writer), b"x") == b"x"
            if closer == "client":
                writer.write_eof()
            else:
                await relay.stop()
            assert await ended(reader)
            writer.close()

    run(scenario)


def test_without_a_hub_behind_it_connections_end_at_once(run: Run) -> None:
    async def scenario() -> None:
        relay = Relay("ws://127.0.0.1:9")
        url = await relay.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        assert await ended(reader)
        writer.close()
        await relay.stop()

    run(scenario)
