"""nats-py request/reply, requester and responder on one loop. Arguments: port, window, seconds."""

import asyncio
import json
import sys
import time

import nats


async def main(port: int, window: int, seconds: float) -> None:
    responder = await nats.connect(f"nats://127.0.0.1:{port}")
    requester = await nats.connect(f"nats://127.0.0.1:{port}")

    async def answer(message: "nats.aio.msg.Msg") -> None:
        await message.respond(message.data)

    await responder.subscribe("bench", cb=answer)
    await responder.flush()
    replies = 0
    deadline = time.perf_counter() + seconds

    async def ask() -> None:
        nonlocal replies
        while time.perf_counter() < deadline:
            await requester.request("bench", b"x" * 256, timeout=10)
            replies += 1

    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(ask() for _ in range(window)))
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({"rate": replies / wall, "cpu_per_100k": cpu / replies * 100_000}), flush=True)
    await requester.close()
    await responder.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
