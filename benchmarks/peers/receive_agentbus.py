"""`SignallingClient` as a receiver. Arguments: URL, count. Prints CPU seconds of the whole process as JSON."""

import asyncio
import json
import sys
import time

from agentbus import ChannelMessage, SignallingClient


async def main(url: str, count: int) -> None:
    seen, first = 0, (0.0, 0.0)
    async with SignallingClient(api_key="pk_live_dev", url=url) as client:
        stream = client.events(ChannelMessage, capacity=count)
        await client.subscribe("bench")
        print("ready", file=sys.stderr, flush=True)
        async for event in stream:
            _ = event.data
            seen += 1
            if seen == 1:
                first = (time.process_time(), time.perf_counter())
            elif seen == count:
                break
        print(
            json.dumps({"cpu": time.process_time() - first[0], "wall": time.perf_counter() - first[1]}),
            flush=True,
        )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
