"""arq on redis; runs in its own environment. Arguments: `work PORT LEDGER`, or `put PORT LEDGER` and what `queue_load.load` wants.

arq looks for jobs twice a second and takes ten by default. It is told to look a hundred times a second and to take a hundred, and to keep no
results, which is the fastest that it goes here.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import uvloop
from arq import create_pool, run_worker
from arq.connections import RedisSettings
from queue_load import TEXT, Ledger, load


async def job(context: dict[str, Any], number: int, _text: str) -> None:
    context["ledger"].run(number)


def work(port: int, path: str) -> None:
    async def start(context: dict[str, Any]) -> None:
        context["ledger"] = Ledger(Path(path))
        context["ledger"].at_work()

    asyncio.set_event_loop(asyncio.new_event_loop())
    settings = {
        "functions": [job],
        "redis_settings": RedisSettings(port=port),
        "on_startup": start,
        "max_jobs": 100,
        "poll_delay": 0.01,
        "keep_result": 0,
    }
    run_worker(settings)


async def produce(port: int, path: str, how: str, count: int, pace: float) -> None:
    pool = await create_pool(RedisSettings(port=port))
    await load(lambda number: pool.enqueue_job("job", number, TEXT), path, how, count, pace)
    await pool.aclose()


if __name__ == "__main__":
    uvloop.install()
    if sys.argv[1] == "work":
        work(int(sys.argv[2]), sys.argv[3])
    else:
        asyncio.run(produce(int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]), float(sys.argv[6])))
