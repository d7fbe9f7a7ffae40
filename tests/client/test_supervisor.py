"""The state machine at work: attempts, goodbyes and new beginnings, on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import weakref

import pytest

from agentbus.client import (
    ConnectedEvent,
    DisconnectedEvent,
    ReconnectOptions,
    SignallingClientState,
    StateChange,
)
from agentbus.client.states import TRANSITIONS
from agentbus.client.supervisor import SupervisorActor
from agentbus.errors import ClientDisposedError, SignallingConnectError, TokenProviderError
from tests.client.world import World, on_virtual_time, outcome

STEADY = ReconnectOptions(initial_delay=1.0, multiplier=1.0, jitter_ratio=0.0)
IDLE, CONNECTING, CONNECTED, RECONNECTING, CLOSED = SignallingClientState


@on_virtual_time
async def test_state_changes_follow_the_table(world: World) -> None:
    client = world.client(reconnect=STEADY)
    changes = world.collect(client, StateChange)
    await client.connect()
    world.hub.last.cut()
    await world.sleep(1.5)
    world.hub.last.close(4020)
    await world.settle()
    await client.connect()
    await client.close()
    await world.settle()
    path = [IDLE, CONNECTING, CONNECTED, RECONNECTING, CONNECTED, CLOSED, CONNECTING, CONNECTED, CLOSED]
    assert [(change.previous, change.current) for change in changes] == list(itertools.pairwise(path))
    allowed = {(state, following) for (state, _), following in TRANSITIONS.items()}
    assert {(change.previous, change.current) for change in changes} <= allowed


@on_virtual_time
async def test_close_before_connect(world: World) -> None:
    client = world.client()
    await client.close()
    assert client.state is CLOSED
    await client.connect()
    assert client.state is CONNECTED


@on_virtual_time
async def test_connect_during_a_goodbye_waits_for_its_end(world: World) -> None:
    client = await world.connected()
    world.hub.last.connection.deaf = True
    connected = world.collect(client, ConnectedEvent)
    ended = world.collect(client, DisconnectedEvent)
    closing, connecting = client.close(), client.connect()
    await world.sleep(0.5)
    assert (client.state, len(world.hub.sessions)) == (CLOSED, 1)
    await closing
    await connecting
    await world.settle()
    assert client.state is CONNECTED
    assert (len(ended), len(connected)) == (1, 1)


@on_virtual_time
async def test_a_second_close_takes_back_the_connect_in_between(world: World) -> None:
    client = await world.connected()
    world.hub.last.connection.deaf = True
    first, connecting, second = client.close(), client.connect(), client.close(3000, "really")
    await first
    await second
    error = await outcome(connecting)
    assert isinstance(error, SignallingConnectError)
    assert (error.close_code, client.state, len(world.hub.sessions)) == (3000, CLOSED, 1)


@on_virtual_time
async def test_close_while_reconnecting_cancels_the_retry(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    world.hub.last.cut()
    await world.settle()
    joined = client.connect()
    await client.close()
    assert isinstance(await outcome(joined), SignallingConnectError)
    await world.sleep(100.0)
    assert (client.state, len(world.hub.sessions)) == (CLOSED, 1)


@on_virtual_time
async def test_close_while_redialling_ends_that_attempt(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    ended = world.collect(client, DisconnectedEvent)
    world.hub.on_open = lambda _session: None
    world.hub.last.cut()
    await world.sleep(2.0)
    await client.close()
    await world.settle()
    assert [(event.code, event.will_reconnect) for event in ended] == [(1006, True), (1000, False)]


@on_virtual_time
async def test_a_connect_that_joined_fails_with_the_reconnecting(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    world.hub.on_open = lambda session: session.close(4001, "revoked")
    world.hub.last.cut()
    await world.settle()
    error = await outcome(client.connect())
    assert isinstance(error, SignallingConnectError)
    assert (error.close_code, client.state) == (4001, CLOSED)


@on_virtual_time
async def test_impatient_callers_are_forgotten(world: World) -> None:
    client = await world.connected(reconnect=ReconnectOptions(initial_delay=1000.0, max_delay=1000.0))
    world.hub.last.cut()
    await world.settle()
    futures: weakref.WeakSet[object] = weakref.WeakSet()

    async def impatient() -> None:
        future = client.connect()
        futures.add(future)
        async with asyncio.timeout(0.1):
            await future

    for _ in range(500):
        with contextlib.suppress(TimeoutError):
            await impatient()
    gc.collect()
    assert len(futures) < 100
    assert (await client.connect()).is_reconnect


@on_virtual_time
async def test_a_connect_that_joined_fails_with_the_last_token(world: World) -> None:
    tokens = ["good"]

    def provider() -> str:
        if not tokens:
            raise RuntimeError("closed")
        return tokens.pop()

    client = await world.connected(
        token_provider=provider, reconnect=ReconnectOptions(initial_delay=1.0, max_attempts=2)
    )
    world.hub.last.cut()
    await world.settle()
    assert isinstance(await outcome(client.connect()), TokenProviderError)
    assert client.state is CLOSED


@on_virtual_time
async def test_a_good_token_forgets_the_failures_before_it(world: World) -> None:
    answers = ["t", *["", "", "t"] * 4]
    client = await world.connected(token_provider=lambda: answers.pop(0), reconnect=STEADY)
    events = client.events()
    for _ in range(4):
        world.hub.last.cut()
        await world.sleep(5.0)
    await client.dispose()
    assert "TokenProviderErrorEvent" not in [type(event).__name__ async for event in events]


@on_virtual_time
@pytest.mark.parametrize("moment", ["idle", "token", "dial", "connected", "retry", "goodbye"])
async def test_dispose_at_any_moment_leaves_nothing(world: World, moment: str) -> None:
    async def slow() -> str:
        await world.sleep(0.0 if moment != "token" else 5.0)
        return "token"

    client = world.client(token_provider=slow, reconnect=STEADY)
    if moment == "dial":
        world.hub.on_open = lambda _session: None
    if moment != "idle":
        connecting = client.connect()
        await world.sleep(0.5)
        if moment in {"retry", "goodbye"}:
            await connecting
            await client.subscribe("room")
        if moment == "retry":
            world.hub.last.cut()
            await world.settle()
        if moment == "goodbye":
            world.hub.last.connection.deaf = True
            client.close()
        if moment in {"token", "dial"}:
            connecting.add_done_callback(lambda future: future.exception())
    first, second = client.dispose(), client.dispose()
    await first
    await second
    assert client.state is CLOSED
    with pytest.raises(ClientDisposedError):
        client.connect()
    await client.close()


@on_virtual_time
async def test_the_end_of_the_runtime_disposes_its_clients(world: World) -> None:
    client = await world.connected()
    stream = client.events(DisconnectedEvent)
    assert await world.runtime.aclose()
    assert world.hub.last.closed == (1000, "client disposed")
    assert [event.will_reconnect async for event in stream] == [False]
    assert isinstance(await outcome(client.connect()), SignallingConnectError)


@on_virtual_time
async def test_a_supervisor_that_was_killed_leaves_nobody_waiting(world: World) -> None:
    client = world.client()
    changes, ended = world.collect(client, StateChange), world.collect(client, DisconnectedEvent)
    world.hub.on_open = lambda _session: None
    connecting = client.connect()
    await world.sleep(1.0)
    (supervisor,) = world.runtime.registry.get_by_class(SupervisorActor)
    supervisor.stop(block=False)
    assert isinstance(await outcome(connecting), SignallingConnectError)
    assert isinstance(await outcome(client.connect()), SignallingConnectError)
    await world.settle()
    assert (client.state, changes[-1].current, [event.will_reconnect for event in ended]) == (
        CLOSED,
        CLOSED,
        [False],
    )
    await client.close()
