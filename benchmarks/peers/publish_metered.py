"""The official SDK, acked publishes with a window in flight; runs in its own environment. Arguments: URL, window, seconds."""

import asyncio
import json
import sys
import time

from metered_realtime import SignallingClient


async def main(url: str, window: int, seconds: float) -> None:
    client = SignallingClient(api_key="pk_live_dev", url=url)
    await client.connect()
    published = 0
    deadline = time.perf_counter() + seconds

    async def publisher() -> None:
        nonlocal published
        while time.perf_counter() < deadline:
            await client.publish("bench", "x" * 256)
            published += 1

    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(publisher() for _ in range(window)))
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({"rate": published / wall, "cpu_per_100k": cpu / published * 100_000}), flush=True)
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
