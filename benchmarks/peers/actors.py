"""Tell and ask rates of one kind of actor. Argument: the kind. Prints rates per second as JSON."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pykka

from agentbus.runtime import LoopActor, default_runtime

TELLS = 200_000
WINDOW = 1_000
"""Tells until the teller waits for the actor: below every mailbox's capacity."""
ASKS = 20_000


class Threaded(pykka.ThreadingActor):
    """Pykka's own, as a user writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.done = threading.Event()

    def on_receive(self, message: Any) -> Any:
        self.seen += 1
        return message


class Looped(LoopActor):
    """Ours, with the same body."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def on_receive(self, message: Any) -> Any:
        self.seen += 1
        return message


def rates(tells: Callable[[], float], asks: Callable[[], float]) -> dict[str, float]:
    return {"tell": TELLS / tells(), "ask": ASKS / asks()}


def from_this_thread(ref: Any) -> dict[str, float]:
    """Tell in windows and wait for the last of each; ask one after the other."""

    def tells() -> float:
        start = time.perf_counter()
        for _ in range(TELLS // WINDOW):
            for number in range(WINDOW):
                ref.tell(number)
            ref.ask(0)
        return time.perf_counter() - start

    def asks() -> float:
        start = time.perf_counter()
        for number in range(ASKS):
            ref.ask(number)
        return time.perf_counter() - start

    return rates(tells, asks)


async def on_the_loop(ref: Any, message: Any, ask: Callable[[Any], Any]) -> dict[str, float]:
    """The same from a coroutine on the actor's own loop."""
    start = time.perf_counter()
    for _ in range(TELLS // WINDOW):
        for _ in range(WINDOW):
            ref.tell(message)
        await ask(message)
    tells = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(ASKS):
        await ask(message)
    return {"tell": TELLS / tells, "ask": ASKS / (time.perf_counter() - start)}


def on_its_loop() -> dict[str, float]:
    """From a coroutine on the runtime's own loop for agents, as agents ask one another."""
    ref = Looped.start()
    loop = default_runtime().agents
    return loop.run(on_the_loop(ref, 1, lambda message: ref.ask(message, block=False))).get(timeout=60)


def main(kind: str) -> None:
    if kind == "pykka":
        result = from_this_thread(Threaded.start())
        pykka.ActorRegistry.stop_all()
    elif kind == "loop-from-thread":
        result = from_this_thread(Looped.start())
    else:
        result = on_its_loop()
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
