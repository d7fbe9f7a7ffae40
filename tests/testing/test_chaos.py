"""A real hub behind a network that delays, cuts, half-closes and garbles."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator
from random import Random

import pytest

from agentbus import (
    AgentBusError,
    ReconnectOptions,
    SignallingClient,
    SignallingClientState,
)
from agentbus.testing import ChaosProxy
from tests.hub.server.door import KEY
from tests.hub.server.running import run, running_hub, until

PROMPT = ReconnectOptions(initial_delay=0.01, max_delay=0.05, max_attempts=1000)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def echo_port() -> AsyncGenerator[int]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


@pytest.mark.parametrize("fault", ["none", "delaying", "cutting", "half_closing", "garbling"])
def test_each_fault_is_what_it_is_called(fault: str) -> None:
    async def main() -> None:
        async with echo_port() as port, ChaosProxy(port, random=Random(1)) as proxy:
            amount = 0.01 if fault == "delaying" else 1.0
            harm = contextlib.nullcontext() if fault == "none" else getattr(proxy, fault)(amount)
            with harm:
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                writer.write(b"0123456789" * 10)
                writer.write_eof()
                got = b""
                with contextlib.suppress(ConnectionError):
                    got = await reader.read()
                writer.close()
            counts = proxy.counts
            whole = got == b"0123456789" * 10
            assert whole == (fault in {"none", "delaying", "half_closing"})
            assert (counts.delayed > 0, counts.cut > 0, counts.half_closed > 0, counts.garbled > 0) == (
                fault == "delaying",
                fault == "cutting",
                fault == "half_closing",
                fault == "garbling",
            )

    run(main())


def test_through_chaos_every_request_has_one_end_and_afterwards_all_is_well() -> None:
    """At most once, in order, and nobody is left behind: not a socket, not a peer, not a pending request."""

    async def main() -> None:
        async with running_hub() as hub, ChaosProxy(hub.port, random=Random(7)) as proxy:
            sender, listener = clients = [a_client(proxy.port) for _ in range(2)]
            heard: list[int] = []
            listener.on_message.subscribe(lambda event: heard.append(event.data))
            for client in clients:
                await client.connect()
            await listener.subscribe("c")
            ends: Counter[str] = Counter()
            with proxy.delaying(0.001), proxy.cutting(0.02), proxy.half_closing(0.02):
                for number in range(200):
                    await until(lambda: sender.state is SignallingClientState.CONNECTED)
                    ends[await outcome(sender, number)] += 1
            proxy.cut_all()
            assert sum(ends.values()) == 200
            assert ends["acked"] > 20
            assert proxy.counts.cut
            assert proxy.counts.half_closed

            await until(lambda: all(one.state is SignallingClientState.CONNECTED for one in clients))
            while 1000 not in heard:
                await until(lambda: sender.state is SignallingClientState.CONNECTED)
                await outcome(sender, 1000)
            chaotic = [number for number in heard if number < 1000]
            assert chaotic == sorted(set(chaotic)), "in order, none twice"
            await until(lambda: hub.shell.hub.connections() == 2)
            for client in clients:
                await client.dispose()
            await until(lambda: not hub.shell.handlers)
            assert not hub.shell.entrance.waiting

    run(main())


def test_garbage_from_one_client_is_no_business_of_another() -> None:
    async def main() -> None:
        async with running_hub() as hub, ChaosProxy(hub.port, random=Random(3)) as proxy:
            garbled, honest = a_client(proxy.port), a_client(hub.port)
            await garbled.connect()
            await honest.connect()
            with proxy.garbling(0.3):
                for number in range(100):
                    pending = garbled.publish("c", number)
                    assert await outcome(honest, number) == "acked"
                    pending.add_done_callback(lambda done: done.exception())
            assert proxy.counts.garbled
            proxy.cut_all()
            while await outcome(garbled, 0) != "acked":
                await until(lambda: garbled.state is SignallingClientState.CONNECTED)
            for client in (garbled, honest):
                await client.dispose()
            await until(lambda: not hub.shell.handlers)

    run(main())


def a_client(port: int) -> SignallingClient:
    return SignallingClient(api_key=KEY, url=f"ws://127.0.0.1:{port}", reconnect=PROMPT)


async def outcome(client: SignallingClient, number: int) -> str:
    """Publish; every request ends in one of two ways."""
    try:
        await client.publish("c", number)
    except AgentBusError:
        return "failed"
    return "acked"
