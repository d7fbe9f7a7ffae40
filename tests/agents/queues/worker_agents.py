"""Workers that the tests of this folder share."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from agentbus.agents.agent import AgentActor, AsyncAgentActor
from agentbus.agents.handlers import handles
from agentbus.agents.message import Message, Request
from agentbus.errors import Reject, Retry
from agentbus.runtime import virtual_sleep

NEVER = threading.Event()


class Double(Request[int], wire_name="workers.Double"):
    number: int


class Nap(Message, wire_name="workers.Nap"):
    """Take so long; with marks of progress every second."""

    seconds: float
    marks: bool = False


class Trouble(Message, wire_name="workers.Trouble"):
    """Raise."""

    how: str = "error"


class Hold(Message, wire_name="workers.Hold"):
    """Wait for ever, and count whether that was cancelled."""

    stubborn: float = 0.0


class Mark(Message, wire_name="workers.Mark"):
    """Say how it goes."""

    note: str


class Charge(Request[dict[str, int]], wire_name="workers.Charge"):
    """Do something once; fail before or after its result is recorded."""

    crash: str = ""
    retry: bool = False


class Child(Message, wire_name="workers.Child"):
    """Put another job with the ack."""

    fail: bool = False


class Unknown(Message, wire_name="workers.Unknown"):
    """Nobody takes it."""


class Worker(AsyncAgentActor):
    def __init__(self, log: list[str] | None = None) -> None:
        self.log = log if log is not None else []
        self.charged: list[str] = []

    @handles
    async def double(self, message: Double) -> int:
        self.log.append(f"{self.job.id} {self.job.attempt} {self.job.key}")
        return 2 * message.number

    @handles
    async def nap(self, message: Nap) -> str:
        self.log.append("begun")
        for _ in range(int(message.seconds) if message.marks else 1):
            await virtual_sleep(1.0 if message.marks else message.seconds)
            if message.marks:
                self.progress("napping")
        self.log.append("slept")
        return "slept"

    @handles
    async def trouble(self, message: Trouble) -> None:
        if message.how == "retry":
            raise Retry("later", in_=30.0)
        if message.how == "reject":
            raise Reject("never")
        if message.how == "unprintable":
            return object()  # type: ignore[return-value]  # on purpose: it has no JSON form
        raise ValueError("broken")

    @handles
    async def hold(self, message: Hold) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.log.append("cancelled")
            if not message.stubborn:
                raise
            await virtual_sleep(message.stubborn)
            self.log.append("gave in")
        return "held"

    @handles
    async def mark(self, message: Mark) -> None:
        self.progress(f"{message.note[:-1]}\udc80")
        await virtual_sleep(2.0)

    @handles
    async def charge(self, message: Charge) -> Any:
        async with self.effect("charge", retry=message.retry) as effect:
            if effect.needed:
                self.log.append("charged in doubt" if effect.in_doubt else "charged")
                if message.crash == "before":
                    raise ValueError("crash before the result was recorded")
                effect.done({"receipt": 7})
        if message.crash == "after":
            raise ValueError("crash after the effect")
        return effect.value

    @handles
    async def child(self, message: Child) -> None:
        self.job.put(Double(21))
        if message.fail:
            raise ValueError("no")


class SyncWorker(AgentActor):
    @handles
    def double(self, message: Double) -> int:
        return 2 * message.number

    @handles
    def hold(self, message: Hold) -> str:
        while not self.cancelled:
            NEVER.wait(0.01)
        return "too late to count"

    @handles
    def charge(self, _message: Charge) -> Any:
        return self.once("charge", lambda: {"receipt": 7})


class Run(Request[str], wire_name="workers.Run"):
    """Take so long; a stubborn one takes a moment more to give in."""

    seconds: float
    stubborn: bool = False


class Runner(AsyncAgentActor):
    """Notes which job it ran on which node."""

    def __init__(self, runs: list[tuple[str, str]]) -> None:
        self.runs = runs

    @handles
    async def run(self, message: Run) -> str:
        self.runs.append((self.job.id, self.bus.node))
        try:
            await virtual_sleep(message.seconds)
        except asyncio.CancelledError:
            if message.stubborn:
                await virtual_sleep(1.0)
            raise
        return "ran"
