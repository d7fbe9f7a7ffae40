"""Chat room: the client alone, without agents. Channels, presence, and who said what."""

import asyncio
from collections.abc import Callable

from agentbus import Bus, ChannelMessage, PresenceEvent, SignallingClient

ROOM = "rooms/lobby"


class Log:
    """What everybody saw, in order, and a way to wait for it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = asyncio.Event()

    def add(self, line: str) -> None:
        print(line)
        self.lines.append(line)
        self._news.set()

    async def until(self, *starts: str) -> None:
        """Wait for lines that start so: in a chat everything arrives in its own time."""
        async with asyncio.timeout(10):
            while not all(any(line.startswith(start) for line in self.lines) for start in starts):
                self._news.clear()
                await self._news.wait()


async def join(bus: Bus, log: Callable[[str], None], name: str) -> SignallingClient:
    """Enter the room and note what is said, and who comes and goes."""
    assert bus.url is not None
    client = SignallingClient(api_key=bus.credentials_env()["AGENTBUS_KEY"], url=bus.url)

    @client.on(ChannelMessage, channel=ROOM)
    async def heard(message: ChannelMessage) -> None:
        log(f"{name} heard {message.data['who']}: {message.data['text']}")

    @client.on(PresenceEvent, channel=ROOM)
    async def roster(event: PresenceEvent) -> None:
        if event.is_snapshot:
            log(f"{name} found {len(event.joined)} in the room")
        elif event.joined:
            log(f"{name} saw {len(event.joined)} come")
        elif event.left:
            log(f"{name} saw {len(event.left)} go")

    await client.connect()
    await client.subscribe(ROOM)
    return client


async def main() -> None:
    log = Log()
    async with Bus(listen="127.0.0.1:0") as bus:
        ada = await join(bus, log.add, "Ada")
        bob = await join(bus, log.add, "Bob")
        await log.until("Ada found 0", "Bob found 1", "Ada saw 1 come")
        await ada.publish(ROOM, {"who": "Ada", "text": "is anybody there?"})
        await bob.publish(ROOM, {"who": "Bob", "text": "I am"})
        await log.until("Bob heard Ada", "Ada heard Bob")
        await bob.dispose()
        await log.until("Ada saw 1 go")
        await ada.dispose()


if __name__ == "__main__":
    asyncio.run(main())
