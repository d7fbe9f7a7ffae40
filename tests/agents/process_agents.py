"""Agents that the tests run in processes of their own."""

from __future__ import annotations

import os
import threading
from typing import Any

from agentbus.agents import AgentActor, AsyncAgentActor, Message, Request, handles
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
