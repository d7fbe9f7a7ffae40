"""Agents that the tests run in processes of their own."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from agentbus.agents import AgentActor, AsyncAgentActor, Message, Request, Streaming, handles
from agentbus.errors import AttachmentFailed
from tests.agents.agents import NotHereError

NEVER = threading.Event()


class WhereAmI(Request[list[str]]):
    """Process id, address, and the sender's address."""


class Crash(Request[None]):
    exit_code: int = 3


class Raise(Request[None]):
    text: str = "asked to"
    declared: bool = False


class Spin(Request[int]):
    """Keep the processor busy, with or without marks."""

    seconds: float
    marks: bool = False


class Increase(Request[int]):
    amount: int


class Repeat(Request[str]):
    text: str
    times: int


class Quit(Message):
    """Stop, by one's own wish."""


class AskThere(Request[Any]):
    """Ask another agent who its sender is."""

    target: str


class Strange(Message):
    """Nobody takes it."""


class Prisoner(AgentActor):
    capabilities = ("prison",)

    def __init__(self, start: int = 0, *, fail_at_start: bool = False) -> None:
        self.total = start
        if fail_at_start:
            raise RuntimeError("not today")

    def snapshot(self) -> int:
        return self.total

    def restore(self, state: int) -> None:
        self.total = state

    @handles
    def where(self, _message: WhereAmI) -> list[str]:
        return [str(os.getpid()), str(self.ref), str(self.sender)]

    @handles
    def crash(self, message: Crash) -> None:
        os._exit(message.exit_code)

    @handles(raises=(NotHereError,))
    def fail(self, message: Raise) -> None:
        raise (NotHereError if message.declared else ValueError)(message.text)

    @handles
    def spin(self, message: Spin) -> int:
        for step in range(int(message.seconds * 100)):
            NEVER.wait(0.01)
            if message.marks:
                self.progress(done=step * 0.01 / message.seconds)
            if self.cancelled:
                return -1
        return os.getpid()

    @handles
    def repeat(self, message: Repeat) -> str:
        return message.text * message.times

    @handles
    def quit(self, _message: Quit) -> None:
        self.bus.ref_to(self.name).stop()

    @handles
    def add(self, message: Increase) -> int:
        self.total += message.amount
        return self.total


class AsyncPrisoner(AsyncAgentActor):
    @handles
    async def where(self, _message: WhereAmI) -> list[str]:
        return [str(os.getpid()), str(self.ref), str(self.sender)]

    @handles
    async def relay(self, message: AskThere) -> Any:
        return await self.bus.ref(message.target).ask(WhereAmI(), timeout=10)


class Witness(AsyncAgentActor):
    """Stays here, and says who asked."""

    @handles
    async def where(self, _message: WhereAmI) -> list[str]:
        return ["here", str(self.ref), str(self.sender)]


class Line(Message):
    number: int
    text: str = ""


class Lines(Streaming[Line]):
    """So many chunks; then end, fail, or leave the process."""

    count: int
    then: str = "end"


class Measure(Request[list[int]]):
    """How many bytes or chunks are attached, and their sum."""

    at_most: int = 1_000_000


class Shout(Streaming[str]):
    """Each attached chunk, louder."""


class Told(Request[list[Any]]):
    """What the agent has been steered by, how many chunks it made, and how many generators have ended."""


class Advice(Message):
    text: str


class Wait(Request[str]):
    """Wait until advice comes."""


class HoldTheLock(Request[None]):
    """Do something for long that no other thread can go on beside."""

    seconds: int


class Teller(AsyncAgentActor):
    concurrency = 10

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.made = self.ended = 0
        self.advised = asyncio.Event()

    async def on_control(self, message: Any) -> None:
        if isinstance(message, Advice) and message.text == "fail":
            raise ValueError("bad advice")
        self.heard.append(message.text if isinstance(message, Advice) else message)
        self.advised.set()

    @handles
    async def lines(self, message: Lines) -> AsyncIterator[Line]:
        try:
            for number in range(message.count):
                self.made += 1
                yield Line(number, "x" * 20)
            if message.then == "fail":
                raise ValueError("no more")
            if message.then == "crash":
                os._exit(9)
        finally:
            self.ended += 1

    @handles(raises=(AttachmentFailed,))
    async def measure(self, message: Measure) -> list[int]:
        count = total = 0
        async for chunk in self.attachment:
            count += 1
            total += len(chunk) if isinstance(chunk, bytes) else chunk
            if count == message.at_most:
                break
        return [count, total]

    @handles
    async def shout(self, _message: Shout) -> AsyncIterator[str]:
        async for chunk in self.attachment:
            yield chunk.upper()

    @handles
    async def told(self, _message: Told) -> list[Any]:
        return [self.heard, self.made, self.ended]

    @handles
    async def wait(self, _message: Wait) -> str:
        await self.advised.wait()
        return self.heard[-1]


class SyncTeller(AgentActor):
    @handles
    def lines(self, message: Lines) -> Iterator[Line]:
        for number in range(message.count):
            yield Line(number)

    @handles
    def shout(self, _message: Shout) -> Iterator[str]:
        for chunk in self.attachment:
            yield chunk.upper()

    @handles
    def hold(self, message: HoldTheLock) -> None:
        os.write(1, b"holding\n")
        ctypes.PyDLL(None).sleep(message.seconds)  # unlike `CDLL`, it keeps the interpreter's lock
