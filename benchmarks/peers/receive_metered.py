"""The official SDK as a receiver; runs in its own environment. Arguments: URL, count. Prints CPU seconds as JSON."""

import asyncio
import json
import sys
import time

from metered_realtime import Message, SignallingClient


async def main(url: str, count: int) -> None:
    client = SignallingClient(api_key="pk_live_dev", url=url)
    done = asyncio.get_running_loop().create_future()
    seen = 0
    first = (0.0, 0.0)

    def handle(event: Message) -> None:
        nonlocal seen, first
        seen += 1
        if seen == 1:
            first = (time.process_time(), time.perf_counter())
        elif seen == count:
            done.set_result(None)

    client.on(Message, handle)
    await client.connect()
    await client.subscribe("bench")
    print("ready", file=sys.stderr, flush=True)
    await done
    print(
        json.dumps({"cpu": time.process_time() - first[0], "wall": time.perf_counter() - first[1]}),
        flush=True,
    )
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
