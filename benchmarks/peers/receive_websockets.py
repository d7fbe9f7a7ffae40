"""A bare `websockets` client and `json` as a receiver. Arguments: URL, count. Prints CPU seconds as JSON."""

import asyncio
import json
import sys
import time

from websockets.asyncio.client import connect


async def main(url: str, count: int) -> None:
    async with connect(f"{url}/v1?key=pk_live_dev", compression=None, proxy=None) as connection:
        await connection.send('{"type":"subscribe","channel":"bench"}')
        print("ready", file=sys.stderr, flush=True)
        seen, first = 0, (0.0, 0.0)
        async for text in connection:
            if json.loads(text)["type"] != "message":
                continue
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
