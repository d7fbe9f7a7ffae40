"""Three real hubs on a real nats-server: one hub to their clients, whatever dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentbus import (
    ChannelMessage,
    ConnectedEvent,
    DirectMessage,
    DisconnectedEvent,
    PresenceEvent,
    ReconnectOptions,
    SignallingClient,
    SignallingServerError,
)
from agentbus.hub.server.presets import DEV_SECRET, DEV_SECRET_ID
from agentbus.hub.server.tokens import mint
from agentbus.runtime import SystemClock
from tests.e2e.cluster import Condition, HubProgram, NatsServer, need_nats, started

pytestmark = pytest.mark.e2e
PATIENCE = 30.0
ROOM = "room"
Request = Callable[[], Any]


class Person:
    """A client under a name of its own at one hub, and what it heard."""

    def __init__(self, name: str, hub: HubProgram) -> None:
        self.name = name
        self.heard: list[tuple[str, Any]] = []
        self.directs: list[Any] = []
        self.welcomes = 0
        self._news = asyncio.Event()
        clock = SystemClock()
        self.client = SignallingClient(
            token_provider=lambda: mint(DEV_SECRET_ID, DEV_SECRET, subject=name, issued_at=clock.wall()),
            url=hub.url,
            reconnect=ReconnectOptions(initial_delay=0.1, max_delay=0.3),
        )
        for event in (ChannelMessage, DirectMessage, PresenceEvent, ConnectedEvent, DisconnectedEvent):
            self.client.on(event)(self._hear)

    async def _hear(self, event: Any) -> None:
        if isinstance(event, ChannelMessage):
            self.heard.append((event.sender, event.data))
        elif isinstance(event, DirectMessage):
            self.directs.append(event.data)
        elif isinstance(event, ConnectedEvent):
            self.welcomes += 1
        self._news.set()

    def others(self) -> set[str]:
        """Who is in the room, as this client was told."""
        return {peer.peer_id for peer in self.client.roster(ROOM)}

    async def until(self, condition: Condition) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def refusal(self, request: Any) -> str:
        """Return the code with which the hub refuses a request."""
        with pytest.raises(SignallingServerError) as refused:
            await request
        return str(refused.value.code)


@asynccontextmanager
async def people(*hubs: HubProgram) -> AsyncGenerator[list[Person]]:
    """One person at each hub, all in the room and aware of each other."""
    async with AsyncExitStack() as stack:
        all_of_them = [Person(f"person-{number}", hub) for number, hub in enumerate(hubs)]
        for person in all_of_them:
            await stack.enter_async_context(person.client)
            await person.client.subscribe(ROOM)
        names = {person.name for person in all_of_them}
        for person in all_of_them:
            await person.until(lambda person=person: person.others() == names - {person.name})
        yield all_of_them


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


@pytest.fixture
def nats(tmp_path: Path) -> NatsServer:
    need_nats()
    return NatsServer(tmp_path)


def hubs_on(nats: NatsServer, count: int) -> list[HubProgram]:
    return [HubProgram("--dev", "--backplane", f"nats://127.0.0.1:{nats.port}") for _ in range(count)]


async def first_refusal(request: Request) -> str:
    """Repeat a request until it is refused, and return the code."""
    while True:
        try:
            await request()
        except SignallingServerError as error:
            return str(error.code)


async def first_success(request: Request) -> None:
    """Repeat a request until it is not refused."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await request()
            except SignallingServerError as error:
                if error.code != "backend_error":
                    raise


async def traffic_passes(one: Person, other: Person) -> None:
    """Publish and send from one to the other, and back."""
    for source, target in ((one, other), (other, one)):
        heard, directs = len(target.heard), len(target.directs)
        for number in range(20):
            await source.client.publish(ROOM, number)
        await source.client.send(target.name, "hello")
        await target.until(lambda target=target, heard=heard: len(target.heard) >= heard + 20)
        assert target.heard[heard:] == [(source.name, number) for number in range(20)]
        await target.until(lambda target=target, directs=directs: len(target.directs) > directs)


def test_three_hubs_are_one_and_stay_so_when_a_hub_and_nats_are_killed(nats: NatsServer) -> None:
    hubs = hubs_on(nats, 3)

    async def main() -> None:
        async with people(*hubs) as (alice, bob, carol):
            await traffic_passes(alice, carol)
            assert await alice.refusal(alice.client.send("nobody", 1)) == "peer_not_found"

            await asyncio.to_thread(hubs[1].kill)
            assert await alice.refusal(alice.client.send(bob.name, 1)) == "backend_error"
            await alice.until(lambda: alice.others() == {carol.name})  # its lease ran out
            assert await alice.refusal(alice.client.send(bob.name, 1)) == "peer_not_found"
            await asyncio.to_thread(hubs[1].start)
            await alice.until(lambda: alice.others() == {bob.name, carol.name})
            await bob.until(lambda: bob.others() == {alice.name, carol.name})
            await traffic_passes(bob, carol)

            await asyncio.to_thread(nats.kill)
            assert await first_refusal(lambda: alice.client.publish(ROOM, "lost")) == "backend_error"
            assert hubs[0].readyz() == (
                200,
                "ready; the backplane is away: this hub serves its own clients alone\n",
            )
            assert await alice.refusal(alice.client.send(carol.name, 1)) == "backend_error"
            await alice.client.send(alice.name, "to myself")
            await alice.until(lambda: "to myself" in alice.directs)
            await asyncio.to_thread(nats.start)
            await first_success(lambda: alice.client.send(bob.name, "again"))
            await bob.until(lambda: "again" in bob.directs)
            await traffic_passes(alice, carol)
            assert hubs[0].readyz() == (200, "ready\n")
            assert (alice.welcomes, carol.welcomes) == (1, 1)

    with started(nats), started(*hubs):
        run(main())


def test_a_hub_that_is_told_to_stop_takes_its_peers_along_at_once(nats: NatsServer) -> None:
    hubs = hubs_on(nats, 2)

    async def main() -> None:
        async with people(*hubs) as (alice, bob):
            bob.client.close()
            await alice.until(lambda: alice.others() == set())
            code = await asyncio.to_thread(hubs[1].stop)
            assert code == 0

    with started(nats), started(*hubs):
        run(main())
