"""Ask or tell an agent of another process through the hub. Arguments: URL, window, seconds, "ask" or "tell"."""

import asyncio
import json
import sys
import time
from typing import Any

from agentbus import AgentRef, Bus
from agentbus.runtime import Future, Runtime
from benchmarks.peers.answer_agents import Text


def send(echo: AgentRef, how: str) -> Future[Any]:
    message = Text(value="x" * 256)
    return echo.ask(message, timeout=10) if how == "ask" else echo.tell(message)


async def main(url: str, window: int, seconds: float, how: str) -> None:
    runtime = Runtime(loop=asyncio.get_running_loop())
    async with Bus(url, api_key="pk_live_dev", node="requester", runtime=runtime) as bus:
        (echo,) = await bus.wait_for(name="echo")
        done = 0
        deadline = time.perf_counter() + seconds

        async def sender() -> None:
            nonlocal done
            while time.perf_counter() < deadline:
                await send(echo, how)
                done += 1

        start, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(sender() for _ in range(window)))
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(json.dumps({"rate": done / wall, "cpu_per_100k": cpu / done * 100_000}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))
