"""The client on real threads and loops: which code runs where, and that `.get()` and `await` both work."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from agentbus.client import (
    ChannelMessage,
    ConnectedEvent,
    SignallingClient,
    SignallingClientOptions,
    SignallingClientState,
)
from agentbus.errors import BlockingCallError, NotConnectedError, SignallingConnectError, TokenProviderError
from agentbus.runtime import Future, Runtime
from tests.client.world import KEY, ScriptedHub, Session

WAIT = 10.0


class Place:
    """A runtime with threads of its own, and a scripted hub in its I/O loop."""

    def __init__(self) -> None:
        self.runtime = Runtime()
        self.hub = ScriptedHub(self.runtime.io.asyncio_loop)

    def client(self, *, loop: asyncio.AbstractEventLoop | None = None, **fields: Any) -> SignallingClient:
        if "token_provider" not in fields:
            fields["api_key"] = KEY
        fields["transport_factory"] = self.hub.transport_factory
        options = SignallingClientOptions(url="ws://localhost", **fields)
        return SignallingClient(options, runtime=self.runtime, loop=loop)

    def on_io(self, fn: Callable[[], object]) -> None:
        async def call() -> None:
            fn()

        self.runtime.io.run(call()).get(WAIT)

    def say(self, data: Any, channel: str = "room") -> None:
        session: Session = self.hub.last
        self.on_io(lambda: session.message(channel, data))


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place()
    yield place
    assert place.runtime.close(WAIT)


# -- synchronous programs ------------------------------------------------------------------------------------


def test_a_synchronous_program(place: Place) -> None:
    with place.client() as client:
        assert client.state is SignallingClientState.CONNECTED
        client.subscribe("room").get(WAIT)
        stream = client.events(ChannelMessage)
        client.publish("room", {"n": 1}).get(timeout=WAIT)
        place.say("hello")
        assert stream.get(WAIT).data == "hello"
    assert client.state is SignallingClientState.CLOSED
    assert list(stream) == []


def test_with_disposes_when_it_cannot_connect(place: Place) -> None:
    place.hub.on_open = lambda session: session.close(4001)
    with pytest.raises(SignallingConnectError), place.client():
        pytest.fail("it is not connected")


def test_sync_callbacks_run_on_the_pool_and_async_ones_on_the_agents_loop(place: Place) -> None:
    where: Future[tuple[str, str]] = Future()
    thread: Future[str] = Future()
    with place.client() as client:

        @client.on(ChannelMessage)
        def sync_handler(event: ChannelMessage) -> None:
            thread.set(threading.current_thread().name)

        @client.on(ChannelMessage)
        async def handler(event: ChannelMessage) -> None:
            with pytest.raises(BlockingCallError):
                client.publish("room", 1).get(WAIT)
            await client.publish("room", 2)
            where.set((threading.current_thread().name, event.data))

        place.say("hello")
        assert where.get(WAIT) == ("agentbus-agents", "hello")
        assert thread.get(WAIT).startswith("agentbus-callback")


def test_a_callback_may_wait_for_a_request(place: Place) -> None:
    done: Future[str] = Future()
    with place.client() as client:

        @client.on(ChannelMessage)
        def echo(event: ChannelMessage) -> None:
            client.publish("room", event.data).get(WAIT)
            done.set(event.data)

        place.say("hello")
        assert done.get(WAIT) == "hello"


def test_many_threads_publish_at_the_same_time(place: Place) -> None:
    with place.client() as client:

        def publish() -> None:
            for future in [client.publish("room", n) for n in range(200)]:
                future.get(WAIT)

        threads = [threading.Thread(target=publish) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert len(place.hub.last.of_type("publish")) == 800


def test_many_threads_connect_at_the_same_time(place: Place) -> None:
    client = place.client()
    peers: list[str] = []
    threads = [
        threading.Thread(target=lambda: peers.append(client.connect().get(WAIT).peer_id)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert (peers, len(place.hub.sessions)) == (["me"] * 8, 1)
    client.dispose().get(WAIT)


def test_requests_race_with_the_end_of_the_connection_and_all_are_answered(place: Place) -> None:
    client = place.client(auto_reconnect=False)
    for _ in range(20):
        client.connect().get(WAIT)
        futures: list[Future[None]] = []
        cut = threading.Thread(target=place.on_io, args=(place.hub.last.cut,))
        for number in range(100):
            if number == 20:
                cut.start()
            futures += [client.publish("room", 1), client.subscribe("room"), client.unsubscribe("room")]
        cut.join(WAIT)
        assert [future for future in futures if not _settled(future)] == []
    client.dispose().get(WAIT)


def _settled(future: Future[None]) -> bool:
    try:
        future.get(WAIT)
    except TimeoutError:
        return False
    except Exception:  # noqa: BLE001 -- any outcome will do
        return True
    return True


# -- asynchronous programs -----------------------------------------------------------------------------------


def test_an_asynchronous_program(place: Place) -> None:
    async def main() -> None:
        home = asyncio.get_running_loop()
        client = place.client()
        ran_on: asyncio.Future[object] = home.create_future()

        @client.on(ChannelMessage)
        async def handler(event: ChannelMessage) -> None:
            ran_on.set_result(asyncio.get_running_loop())

        async with client:
            await client.subscribe("room")
            place.say("hello")
            assert await ran_on is home
            async for event in client.events(ConnectedEvent, ChannelMessage):
                assert event == ChannelMessage("room", "peer-1", None, "again")
                break
            await client.publish("room", 1)

    async def with_traffic() -> None:
        running = asyncio.create_task(main())
        await asyncio.to_thread(_say_until, place, running.done)
        await running

    asyncio.run(with_traffic())


def _say_until(place: Place, done: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not done():
        if place.hub.sessions and place.hub.last.received:
            place.say("again")
        pause.wait(0.01)


def test_callbacks_move_with_a_program_that_runs_a_second_loop(place: Place) -> None:
    client = place.client()
    loops: list[object] = []

    @client.on(ChannelMessage)
    async def handler(event: ChannelMessage) -> None:
        loops.append(asyncio.get_running_loop())
        event.data.set()

    async def main() -> object:
        await client.connect()
        heard = asyncio.Event()
        client.on_message.emit(ChannelMessage("room", "p", None, heard))
        await heard.wait()
        await client.close()
        return asyncio.get_running_loop()

    assert [asyncio.run(main()), asyncio.run(main())] == loops
    client.dispose().get(WAIT)


def test_a_loop_of_the_caller_s_choice(place: Place) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[object] = loop.create_future()
        client = place.client(loop=loop)

        @client.on(ConnectedEvent)
        async def handler(event: ConnectedEvent) -> None:
            heard.set_result(asyncio.get_running_loop())

        await asyncio.to_thread(lambda: client.connect().get(WAIT))
        assert await heard is loop
        await client.dispose()

    asyncio.run(main())


# -- token providers -----------------------------------------------------------------------------------------


def test_a_sync_provider_has_a_thread_of_its_own(place: Place) -> None:
    threads: list[threading.Thread] = []

    def provider() -> str:
        threads.append(threading.current_thread())
        return "token"

    with place.client(token_provider=provider):
        assert place.hub.last.query == {"token": ["token"]}
    assert (threads[0].name, threads[0].daemon) == ("agentbus-token", True)


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_async_provider_runs_on_the_caller_s_loop(place: Place, *, wrapped: bool) -> None:
    loops: list[object] = []

    async def provider() -> str:
        loops.append(asyncio.get_running_loop())
        return "token"

    def sync_looking() -> Awaitable[str]:
        return provider()

    async def main() -> None:
        async with place.client(token_provider=sync_looking if wrapped else provider):
            assert loops == [asyncio.get_running_loop()]

    asyncio.run(main())


def test_an_async_provider_of_a_synchronous_program_runs_on_the_agents_loop(place: Place) -> None:
    names: list[str] = []

    async def provider() -> str:
        names.append(threading.current_thread().name)
        return "token"

    with place.client(token_provider=provider):
        assert names == ["agentbus-agents"]


def test_a_provider_that_hangs_is_abandoned_and_starves_nobody(place: Place) -> None:
    release = threading.Event()
    calls: list[int] = []

    def provider() -> str:
        calls.append(len(calls))
        if len(calls) <= 3:
            release.wait(WAIT)
        return f"token-{len(calls)}"

    client = place.client(token_provider=provider, token_provider_timeout=0.05)
    for _ in range(3):
        with pytest.raises(TokenProviderError, match=r"within 0\.05 s"):
            client.connect().get(WAIT)
    client.connect().get(WAIT)
    assert place.hub.last.query == {"token": ["token-4"]}
    release.set()
    client.dispose().get(WAIT)


def test_providers_that_hang_are_bounded(place: Place) -> None:
    release = threading.Event()

    def provider() -> str:
        release.wait(WAIT)
        return "token"

    client = place.client(token_provider=provider, token_provider_timeout=0.005)
    messages: set[str] = set()
    for _ in range(20):
        with pytest.raises(TokenProviderError) as caught:
            client.connect().get(WAIT)
        messages.add(str(caught.value))
    assert "16 earlier calls of the token provider still hang" in messages
    release.set()
    client.dispose().get(WAIT)


# -- forks ---------------------------------------------------------------------------------------------------

FORKING = """
import os, sys
from agentbus.client import SignallingClient
from agentbus.errors import ForkedError, NotConnectedError

client = SignallingClient(api_key="pk_live_x")
client.close().get(5)
child = os.fork()
if child == 0:
    for call in (client.connect, client.close, lambda: client.publish("room", 1)):
        try:
            call()
        except ForkedError:
            continue
        os._exit(1)
    mine = SignallingClient(api_key="pk_live_x")
    mine.close().get(5)
    os._exit(0)
_, status = os.waitpid(child, 0)
client.dispose().get(5)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_client_does_not_cross_a_fork() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKING], timeout=30, check=False)
    assert done.returncode == 0


def test_a_program_that_forgets_to_dispose_still_exits(place: Place) -> None:
    code = "from agentbus.client import SignallingClient as C; c = C(api_key='x'); c.close().get(5)"
    done = subprocess.run([sys.executable, "-c", code], timeout=30, check=False)
    assert done.returncode == 0


def test_nothing_is_sent_without_a_connection(place: Place) -> None:
    with pytest.raises(NotConnectedError):
        place.client().publish("room", 1).get(WAIT)
