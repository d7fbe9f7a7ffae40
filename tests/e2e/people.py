"""Clients under names of their own, and what they heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
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

PATIENCE = 30.0
ROOM = "room"


class Person:
    """A client of one hub.

    Args:
        name: its peer id.
        url: of its hub.
        news: set whenever it hears something; shared by those who wait for one another.
    """

    def __init__(self, name: str, url: str, news: asyncio.Event) -> None:
        self.name = name
        self.heard: list[tuple[str, Any]] = []
        self.directs: list[Any] = []
        self.welcomes = 0
        self._news = news
        clock = SystemClock()
        self.client = SignallingClient(
            token_provider=lambda: mint(DEV_SECRET_ID, DEV_SECRET, subject=name, issued_at=clock.wall()),
            url=url,
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

    async def until(self, condition: Callable[[], object]) -> None:
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
async def people(*urls: str) -> AsyncGenerator[list[Person]]:
    """One person at each URL, all in the room and aware of each other."""
    async with AsyncExitStack() as stack:
        news = asyncio.Event()
        everybody = [Person(f"person-{number}", url, news) for number, url in enumerate(urls)]
        for person in everybody:
            await stack.enter_async_context(person.client)
            await person.client.subscribe(ROOM)
        await all_see_all(everybody)
        yield everybody


async def all_see_all(everybody: Sequence[Person]) -> None:
    names = {person.name for person in everybody}
    for person in everybody:
        await person.until(lambda person=person: person.others() == names - {person.name})


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
