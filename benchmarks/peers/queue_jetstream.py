"""A JetStream work queue in a file, pulled by nats-py. Arguments: `work PORT LEDGER`, or `put PORT LEDGER` and what `queue_load.load` wants."""

import asyncio
import json
import sys
from pathlib import Path

import nats
import uvloop
from nats.errors import TimeoutError as NothingCame
from nats.js.api import RetentionPolicy, StorageType, StreamConfig

from benchmarks.peers.queue_load import TEXT, Ledger, load

STREAM = StreamConfig(
    name="TASKS", subjects=["tasks"], retention=RetentionPolicy.WORK_QUEUE, storage=StorageType.FILE
)
BATCH = 100


async def work(port: int, path: str) -> None:
    ledger = Ledger(Path(path))
    connection = await nats.connect(f"nats://127.0.0.1:{port}")
    stream = connection.jetstream()
    await stream.add_stream(STREAM)
    jobs = await stream.pull_subscribe("tasks", durable="workers", stream="TASKS")
    ledger.at_work()
    while True:
        try:
            batch = await jobs.fetch(BATCH, timeout=5)
        except NothingCame:
            continue
        for message in batch:
            number, _text = json.loads(message.data)
            ledger.run(number)
            await message.ack()


async def produce(port: int, path: str, how: str, count: int, pace: float) -> None:
    connection = await nats.connect(f"nats://127.0.0.1:{port}")
    stream = connection.jetstream()
    await stream.add_stream(STREAM)
    await load(
        lambda number: stream.publish("tasks", json.dumps([number, TEXT]).encode()), path, how, count, pace
    )
    await connection.close()


if __name__ == "__main__":
    uvloop.install()
    if sys.argv[1] == "work":
        asyncio.run(work(int(sys.argv[2]), sys.argv[3]))
    else:
        asyncio.run(produce(int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]), float(sys.argv[6])))
