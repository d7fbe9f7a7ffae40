"""Chunks per second of one stream. Prints the rate as JSON, or hosts the producer for another process.

Arguments: `here SECONDS` for one loop; `host URL` to host the producer, until killed; `read URL SECONDS`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator

from agentbus import AgentRef, AsyncAgentActor, Bus, Message, Streaming, handles
from agentbus.runtime import Runtime

CREDIT = 1000


class Token(Message):
    text: str


class Prompt(Streaming[Token]):
    pass


class Writer(AsyncAgentActor):
    @handles
    async def write(self, _prompt: Prompt) -> AsyncIterator[Token]:
        token = Token(text="token")
        while True:
            yield token


async def rate(ref: AgentRef, seconds: float) -> float:
    """Count the chunks of one stream."""
    count = 0
    async with ref.stream(Prompt(), credit=CREDIT) as stream:
        await anext(stream)
        start = time.perf_counter()
        end = start + seconds
        async for _token in stream:
            count += 1
            if not count % 100 and time.perf_counter() > end:
                break
    return count / (time.perf_counter() - start)


async def here(seconds: float) -> None:
    """Producer and consumer on one loop."""
    async with Bus(runtime=Runtime(loop=asyncio.get_running_loop())) as bus:
        print(json.dumps({"rate": await rate(bus.spawn(Writer), seconds)}), flush=True)


async def host(url: str) -> None:
    """Host the producer."""
    async with Bus(url, api_key="pk_live_dev", node="host") as bus:
        bus.spawn(Writer, name="writer")
        print("ready", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


async def read(url: str, seconds: float) -> None:
    """Read from the producer in the other process."""
    async with Bus(url, api_key="pk_live_dev", node="reader") as bus:
        await bus.wait_for(name="writer")
        print(json.dumps({"rate": await rate(bus.ref("host/writer"), seconds)}), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["here", seconds]:
            asyncio.run(here(float(seconds)))
        case ["host", url]:
            asyncio.run(host(url))
        case ["read", url, seconds]:
            asyncio.run(read(url, float(seconds)))
        case _:
            sys.exit(__doc__)
