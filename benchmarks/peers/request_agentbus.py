"""Request/reply with `SignallingClient`, both ends on one loop, as with nats-py. Arguments: URL, window, seconds, and where the responder is, if at another hub."""

import asyncio
import json
import sys
import time

from agentbus import DirectMessage, SignallingClient
from agentbus.runtime import Runtime


async def main(url: str, window: int, seconds: float, responder_url: str = "") -> None:
    loop = asyncio.get_running_loop()
    runtime = Runtime(loop=loop)
    responder = SignallingClient(api_key="pk_live_dev", url=responder_url or url, runtime=runtime)
    requester = SignallingClient(api_key="pk_live_dev", url=url, runtime=runtime)
    await responder.connect()
    await requester.connect()
    waiting: dict[int, asyncio.Future[None]] = {}

    async def answer() -> None:
        async for request in responder.events(DirectMessage):
            responder.send(request.sender, request.data)

    async def collect() -> None:
        async for reply in requester.events(DirectMessage):
            if waiter := waiting.pop(reply.data[0], None):
                waiter.set_result(None)

    background = [asyncio.create_task(answer()), asyncio.create_task(collect())]
    await asyncio.sleep(0)
    replies = numbers = 0
    to = responder.peer_id
    assert to is not None
    deadline = time.perf_counter() + seconds

    async def ask() -> None:
        nonlocal replies, numbers
        while time.perf_counter() < deadline:
            numbers += 1
            waiter = waiting[numbers] = loop.create_future()
            requester.send(to, [numbers, "x" * 256])
            await waiter
            replies += 1

    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(ask() for _ in range(window)))
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({"rate": replies / wall, "cpu_per_100k": cpu / replies * 100_000}), flush=True)
    for task in background:
        task.cancel()
    await requester.dispose()
    await responder.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]))
