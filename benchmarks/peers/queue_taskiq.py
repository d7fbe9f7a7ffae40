"""taskiq on redis streams, the broker that acknowledges; runs in its own environment.

Workers are started by `taskiq worker queue_taskiq:broker`, with REDIS_PORT and LEDGER in the environment; without a result backend, which is
the fastest that it goes. As a program it puts. Arguments: LEDGER and what `queue_load.load` wants.
"""

import asyncio
import os
import sys
from pathlib import Path

import uvloop
from queue_load import TEXT, Ledger, load
from taskiq import TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(f"redis://127.0.0.1:{os.environ['REDIS_PORT']}", consumer_id="0")
ledger = Ledger(Path(os.environ["LEDGER"]))


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start(_state: TaskiqState) -> None:
    ledger.at_work()


@broker.task(task_name="job")
async def job(number: int, _text: str) -> None:
    ledger.run(number)


async def produce(path: str, how: str, count: int, pace: float) -> None:
    await broker.startup()
    await load(lambda number: job.kiq(number, TEXT), path, how, count, pace)
    await broker.shutdown()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(produce(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
