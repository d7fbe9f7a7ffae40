"""Behaviours and observers that the tests of cells share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from random import Random
from typing import Any

from agentbus.runtime import (
    Backoff,
    CellContext,
    CellEvent,
    CellOptions,
    CellRef,
    DeadLetter,
    Restarted,
    RestartMode,
    RestartPolicy,
    Runtime,
    Started,
    Stopped,
    VirtualLoop,
    start_cell,
    virtual_sleep,
)

TIMEOUT = 5.0
AT_ONCE = Backoff(initial_delay=0.0, max_delay=0.0)
AFTER_A_SECOND = Backoff(initial_delay=1.0, multiplier=2.0, max_delay=60.0, jitter_ratio=0.0)


def restarting(backoff: Backoff = AT_ONCE, **fields: Any) -> RestartPolicy:
    return RestartPolicy(RestartMode.RESTART, backoff=backoff, **fields)


class NotFoundError(Exception):
    """An answer that some behaviours declare."""


class Observer:
    """Keeps what a cell's observer sees; waits for it from other threads."""

    def __init__(self) -> None:
        self.events: list[CellEvent] = []
        self._changed = threading.Condition()

    def __call__(self, event: CellEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def wait_for(self, kind: type, count: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: sum(isinstance(event, kind) for event in self.events) >= count, TIMEOUT
            ), f"no {kind.__name__} in {self.kinds}"

    @property
    def lives(self) -> int:
        return sum(isinstance(event, Started | Restarted) for event in self.events)

    @property
    def over(self) -> bool:
        return bool(self.events) and isinstance(self.events[-1], Stopped)


class Worker:
    """A sync behaviour that does what its messages say, and notes it."""

    def __init__(self, context: CellContext, log: list[Any]) -> None:
        self.context = context
        self.log = log
        self.seen = 0

    def on_start(self) -> Any:
        self.log.append(("on_start", self.context.incarnation))

    def on_message(self, message: Any) -> Any:
        self.log.append(message)
        self.seen += 1
        match message:
            case BaseException():
                raise message
            case {"call": work}:
                return work(self)
            case _:
                return (self.context.incarnation, self.seen, message)

    def on_control(self, message: Any) -> Any:
        self.log.append(("control", message))
        if isinstance(message, BaseException):
            raise message

    def on_stop(self) -> Any:
        self.log.append("on_stop")

    def on_failure(self, error: BaseException) -> Any:
        self.log.append(("on_failure", type(error).__name__))

    def is_reply_error(self, error: BaseException) -> bool:
        return isinstance(error, NotFoundError)


class AsyncWorker(Worker):
    """The same with coroutines: a number is how many virtual seconds a message takes."""

    async def on_start(self) -> Any:
        self.log.append(("on_start", self.context.incarnation))
        await asyncio.sleep(0)

    async def on_message(self, message: Any) -> Any:
        try:
            if isinstance(message, int | float):
                await virtual_sleep(message)
            else:
                await asyncio.sleep(0)
            return super().on_message(message)
        except asyncio.CancelledError:
            self.log.append(("cancelled", message))
            raise

    async def on_stop(self) -> Any:
        await asyncio.sleep(0)
        self.log.append("on_stop")


class CellWorld:
    """Cells on one virtual loop."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.runtime = Runtime(loop=self.loop, random=Random(1), inline_callbacks=True)
        self.letters: list[DeadLetter] = []
        self.runtime.dead_letters.attach(self.letters.append)
        self.log: list[Any] = []
        self.observer = Observer()

    def start(
        self,
        behaviour: Callable[[CellContext, list[Any]], Any] = Worker,
        policy: RestartPolicy | None = None,
        **fields: Any,
    ) -> CellRef:
        observer = fields.pop("observer", self.observer)
        given: dict[str, Any] = {"name": "worker", "restart": policy or restarting(), **fields}
        options = CellOptions(**given)
        return start_cell(self.runtime, lambda context: behaviour(context, self.log), options, observer)

    def settle(self) -> None:
        self.loop.run_until_idle()

    def pass_time(self, seconds: float) -> None:
        self.loop.advance(seconds)
