"""Reconnect observer: watch a client live through the restart of its hub, and hear the news afterwards."""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from agentbus import (
    ChannelMessage,
    ConnectedEvent,
    DisconnectedEvent,
    ReconnectOptions,
    SignallingClient,
    StateChange,
)

CHANNEL = "news"


async def start_hub(port: int) -> tuple[asyncio.subprocess.Process, str]:
    """Run `agentbus serve --dev` until it is ready; gives its URL."""
    command = [sys.executable, "-m", "agentbus", "serve", "--dev", "--port", str(port)]
    hub = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert hub.stderr is not None
    async for line in hub.stderr:
        if b"ready on" in line:
            return hub, line.decode().split()[-1]
    raise RuntimeError("the hub did not start")


async def stop_hub(hub: asyncio.subprocess.Process) -> None:
    if hub.returncode is None:
        hub.terminate()
    await hub.communicate()


async def speak(url: str, text: str) -> None:
    """Publish from another connection; a publisher never hears itself."""
    async with SignallingClient(api_key="pk_live_dev", url=url) as speaker:
        await speaker.publish(CHANNEL, text)


async def observe(url: str, restart: Callable[[], Awaitable[None]]) -> None:
    quick = ReconnectOptions(initial_delay=0.1, max_delay=1.0)
    async with (
        SignallingClient(api_key="pk_live_dev", url=url, reconnect=quick) as client,
        asyncio.timeout(30),
    ):
        events = client.events(ConnectedEvent, DisconnectedEvent, StateChange, ChannelMessage)
        await client.subscribe(CHANNEL)
        await restart()
        async for event in events:
            match event:
                case DisconnectedEvent(code=code, will_reconnect=will):
                    print(f"disconnected with {int(code)}, {'coming back' if will else 'for good'}")
                case ConnectedEvent(is_reconnect=True):
                    print("connected again; the subscription comes along")
                    await speak(url, "the hub is back")
                case StateChange(previous=previous, current=current):
                    print(f"state: {previous.value} -> {current.value}")
                case ChannelMessage(data=data):
                    print(f"heard: {data}")
                    return
                case _:
                    pass


async def main() -> None:
    hub, url = await start_hub(port=0)

    async def restart() -> None:
        nonlocal hub
        print("restarting the hub")
        await stop_hub(hub)
        hub, _ = await start_hub(port=int(url.rpartition(":")[2]))

    try:
        await observe(url, restart)
    finally:
        await stop_hub(hub)


if __name__ == "__main__":
    asyncio.run(main())
