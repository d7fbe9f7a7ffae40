"""nats-py requests to a responder in another process. Arguments: port, window, seconds."""

import asyncio
import json
import sys
import time

import nats


async def main(port: int, window: int, seconds: float) -> None:
    connection = await nats.connect(f"nats://127.0.0.1:{port}")
    done = 0
    deadline = time.perf_counter() + seconds

    async def sender() -> None:
        nonlocal done
        while time.perf_counter() < deadline:
            await connection.request("bench", b"x" * 256, timeout=10)
            done += 1

    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(sender() for _ in range(window)))
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(json.dumps({"rate": done / wall, "cpu_per_100k": cpu / done * 100_000}), flush=True)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
