"""Many nats-py clients in one process, which subscribe one inbox each and then idle until killed.

Arguments: port, how many. Speaks as `idle_nodes` does.
"""

import asyncio
import json
import sys
import time

import nats
from nats.aio.client import Client

AT_ONCE = 32


async def ignore(_message: object) -> None:
    """Nobody writes to the inbox."""


async def join(port: int, room: asyncio.Semaphore) -> Client:
    async with room:
        connection = await nats.connect(f"nats://127.0.0.1:{port}")
        await connection.subscribe(connection.new_inbox(), cb=ignore)
        await connection.flush()
        return connection


async def main(port: int, count: int) -> None:
    room = asyncio.Semaphore(AT_ONCE)
    print("ready", file=sys.stderr, flush=True)
    sys.stdin.readline()
    start, cpu = time.monotonic(), time.process_time()
    connections = await asyncio.gather(*(join(port, room) for _ in range(count)))
    took = {"start": start, "end": time.monotonic(), "cpu": time.process_time() - cpu}
    print(json.dumps(took), flush=True)
    await asyncio.Event().wait()
    del connections


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
