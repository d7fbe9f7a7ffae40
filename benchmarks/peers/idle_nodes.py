"""Many nodes with one agent each in one process, which join, learn of all others and then idle until killed.

Arguments: URL, how many, how many there are in all. Says "ready", waits for a line, and prints as JSON when it started and when each of
its nodes knew every agent, by the system's monotonic clock, and the CPU seconds that this took.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time

from agentbus import AsyncAgentActor, Bus
from agentbus.runtime import Runtime

AT_ONCE = 32
LOOK_INTERVAL = 0.05


class Idle(AsyncAgentActor):
    """Has nothing to do."""


async def join(url: str, runtime: Runtime, room: asyncio.Semaphore) -> Bus:
    async with room:
        bus = Bus(url, api_key="pk_live_dev", runtime=runtime)
        bus.spawn(Idle, name="idle")
        await bus.start()
        return bus


async def until_complete(bus: Bus, total: int) -> None:
    """Look now and then: being called for each news would be work of its own."""
    while len(bus.find(name="idle")) < total:
        await asyncio.sleep(LOOK_INTERVAL)


async def main(url: str, count: int, total: int) -> None:
    logging.basicConfig(level=logging.ERROR)
    runtime, room = Runtime(loop=asyncio.get_running_loop()), asyncio.Semaphore(AT_ONCE)
    print("ready", file=sys.stderr, flush=True)
    sys.stdin.readline()
    start, cpu = time.monotonic(), time.process_time()
    buses = await asyncio.gather(*(join(url, runtime, room) for _ in range(count)))
    for bus in buses:
        await until_complete(bus, total)
    took = {"start": start, "end": time.monotonic(), "cpu": time.process_time() - cpu}
    print(json.dumps(took), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
