"""A client that is away while messages are published, and comes back. Arguments: URL, messages, the hub's process."""

import asyncio
import json
import sys
import time

import psutil

from agentbus import ChannelMessage, SignallingClient

CHANNEL = "bench"
IN_FLIGHT = 64


async def main(url: str, count: int, hub: psutil.Process) -> None:
    key = "pk_live_dev"
    async with (
        SignallingClient(api_key=key, url=url) as publisher,
        SignallingClient(api_key=key, url=url) as listener,
    ):
        heard = listener.events(ChannelMessage, capacity=count)
        await listener.subscribe(CHANNEL)
        await listener.close()  # it keeps its place
        numbers = iter(range(count))

        async def publish() -> None:
            for _number in numbers:
                await publisher.publish(CHANNEL, "x" * 256)

        await asyncio.gather(*(publish() for _ in range(IN_FLIGHT)))
        cpu, start = sum(hub.cpu_times()[:2]), time.perf_counter()
        await listener.connect()
        for _number in range(count):
            await anext(heard)
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "hub_cpu": sum(hub.cpu_times()[:2]) - cpu}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), psutil.Process(int(sys.argv[3]))))
