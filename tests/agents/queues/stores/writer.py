"""A process that writes to a store, and says what is durable: to be killed, or to run out of space."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections import deque

from agentbus.agents.queues.stores.store import Batch
from agentbus.agents.queues.stores.store_sqlite import SqliteQueueStore
from agentbus.errors import StoreError
from agentbus.runtime import Future

WAIT = 30.0


def batch(number: int) -> Batch:
    """Change three things that have to be true together: the last number is in the note and has its body."""
    text = b"%d" % number
    gone = {number - 50} if number >= 50 else set[int]()
    return Batch({number: text}, {number: text * 100}, gone, {"last": text})


def write_for_ever(store: SqliteQueueStore, first: int) -> None:
    """Write with several batches under way, and print the number of each that is durable."""
    under_way: deque[tuple[int, Future[None]]] = deque()
    number = first
    while True:
        under_way.append((number, store.write(batch(number))))
        number += 1
        if len(under_way) >= 5:
            done, future = under_way.popleft()
            future.get(timeout=WAIT)
            print(done, flush=True)


def fill_up(store: SqliteQueueStore) -> None:
    """Write until files may not grow any more, then go on once they may."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
    number = 0
    try:
        while number < 10_000:
            store.write(batch(number)).get(timeout=WAIT)
            number += 1
    except StoreError:
        print(number, flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    store.write(batch(number)).get(timeout=WAIT)
    print("went on", flush=True)


def leave_a_child() -> None:
    """Fork a child that lives until the input ends, and wait to be killed."""
    if os.fork() == 0:
        print("the child is there", flush=True)
        sys.stdin.read()
        print("the child has ended", flush=True)
        os._exit(0)
    signal.pause()


def main(path: str, mode: str) -> None:
    store = SqliteQueueStore(path, "tasks")
    opened = store.open("a child").get(timeout=WAIT)
    print("open", flush=True)
    if mode == "fill":
        fill_up(store)
    elif mode == "fork":
        leave_a_child()
    else:
        write_for_ever(store, int(opened.notes.get("last", b"-1")) + 1)
    store.close().get(timeout=WAIT)


if __name__ == "__main__":
    main(*sys.argv[1:])
