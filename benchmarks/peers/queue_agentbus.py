"""Our queues: a host with its hub in one process, workers and a producer in others, each on one uvloop.

Arguments: `host STORE`, which says "ready" and the environment that the others need; `work LEDGER`; `put LEDGER` and what
`queue_load.load` wants; `fill COUNT BLOCKS`, which puts as many jobs as it can at once and prints the seconds of each block; or
`hold COUNT`, which takes so many jobs, says "ready" and never ends one; or `stats`, which prints how many jobs are queued, leased, and were
leased again.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import uvloop

from agentbus import AsyncAgentActor, Bus, Message, handles
from agentbus.runtime import Runtime
from benchmarks.peers.queue_load import TEXT, Ledger, load

QUEUE = "tasks"
CONCURRENCY = 100
BATCH = 1000


class Task(Message):
    number: int
    text: str


class Worker(AsyncAgentActor):
    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger

    @handles
    async def run(self, task: Task) -> None:
        self.ledger.run(task.number)


def joined() -> Bus:
    """A bus at the host's hub."""
    runtime, given = Runtime(loop=asyncio.get_running_loop()), os.environ
    url, key = given["AGENTBUS_URL"], given["AGENTBUS_KEY"]
    return Bus(url, api_key=key, trust="all", runtime=runtime)  # it is the hub of another bus


async def host(store: str) -> None:
    async with Bus(listen="127.0.0.1:0", runtime=Runtime(loop=asyncio.get_running_loop())) as bus:
        await bus.queue(QUEUE, store=store).ready
        print("ready", json.dumps(dict(bus.credentials_env())), file=sys.stderr, flush=True)
        await asyncio.Event().wait()


async def work(path: str) -> None:
    ledger = Ledger(Path(path))
    async with joined() as bus:
        bus.spawn(Worker, ledger, queue=QUEUE, concurrency=CONCURRENCY)
        ledger.at_work()
        await asyncio.Event().wait()


async def produce(path: str, how: str, count: int, pace: float) -> None:
    async with joined() as bus:
        queue = bus.queue(QUEUE)
        await queue.stats(timeout=10)
        await load(lambda number: queue.put(Task(number=number, text=TEXT)), path, how, count, pace)


async def fill(count: int, blocks: int) -> None:
    async with joined() as bus:
        queue, seconds = bus.queue(QUEUE), list[float]()
        await queue.stats(timeout=10)
        for _ in range(blocks):
            start = time.monotonic()
            batches = [min(BATCH, count // blocks - first) for first in range(0, count // blocks, BATCH)]
            await asyncio.gather(*(queue.put_many([Task(number=0, text=TEXT)] * size) for size in batches))
            seconds.append(time.monotonic() - start)
        print(json.dumps({"seconds": seconds}), flush=True)


class Holder(AsyncAgentActor):
    """Has begun with `count` jobs when `full` is set; ends none."""

    def __init__(self, count: int, full: asyncio.Event) -> None:
        super().__init__()
        self.count = count
        self.full = full

    @handles
    async def hold(self, task: Task) -> None:
        self.count -= 1
        if not self.count:
            self.full.set()
        await asyncio.Event().wait()


async def hold(count: int) -> None:
    async with joined() as bus:
        full = asyncio.Event()
        bus.spawn(Holder, count, full, queue=QUEUE, concurrency=count)
        await full.wait()
        print("ready", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


async def stats() -> None:
    async with joined() as bus:
        seen = await bus.queue(QUEUE).stats(timeout=30)
        counts = {"queued": seen.queued, "leased": seen.leased, "redelivered": seen.redelivered}
        print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["host", where]:
            uvloop.run(host(where))
        case ["work", ledger]:
            uvloop.run(work(ledger))
        case ["fill", jobs, blocks]:
            uvloop.run(fill(int(jobs), int(blocks)))
        case ["hold", jobs]:
            uvloop.run(hold(int(jobs)))
        case ["stats"]:
            uvloop.run(stats())
        case ["put", ledger, way, jobs, rate]:
            uvloop.run(produce(ledger, way, int(jobs), float(rate)))
        case _:
            sys.exit(__doc__)
