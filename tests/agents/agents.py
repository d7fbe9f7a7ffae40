"""Small agents that the tests of this folder share."""

from __future__ import annotations

import asyncio
import os

from agentbus.agents.agent import AgentActor, AsyncAgentActor
from agentbus.agents.handlers import handles
from agentbus.agents.message import Message, Request
from agentbus.runtime import Future, virtual_sleep


class Text(Message):
    text: str


class Echo(Request[Text]):
    text: str


class Sleep(Request[int]):
    seconds: float


class Note(Message):
    number: int


class Fail(Message):
    why: str = "asked to"


class Look(Request[str]):
    key: str


class WhoSent(Message):
    pass


class Unknown(Message):
    x: int = 0


class NotHereError(Exception):
    pass


class Worker(AsyncAgentActor):
    capabilities = ("work",)

    def __init__(self, log: list[str] | None = None) -> None:
        self.log = log if log is not None else []
        self.notes: list[int] = []

    def on_start(self) -> None:
        self.log.append(f"start {self.name}")

    def on_stop(self) -> None:
        self.log.append(f"stop {self.name}")

    @handles
    async def echo(self, message: Echo) -> Text:
        return Text(message.text)

    @handles
    async def sleep(self, message: Sleep) -> int:
        self.log.append(f"begin {message.seconds:g}")
        await virtual_sleep(message.seconds)
        self.log.append(f"done {message.seconds:g}")
        return 1

    @handles
    async def note(self, message: Note) -> None:
        self.notes.append(message.number)
        self.log.append(f"note {message.number}")

    @handles
    async def fail(self, message: Fail) -> None:
        raise ValueError(message.why)

    @handles(raises=(NotHereError,))
    async def look(self, message: Look) -> str:
        raise NotHereError(message.key)

    @handles
    async def who(self, _message: WhoSent) -> str | None:
        return None if self.sender is None else str(self.sender)


class SyncWorker(AgentActor):
    capabilities = ("work", "sync")

    @handles
    def echo(self, message: Echo) -> Text:
        return Text(message.text.upper())


class Asker(AsyncAgentActor):
    """Passes what it is asked on to another agent."""

    def __init__(self, target: str) -> None:
        self.target = target

    @handles
    async def echo(self, message: Echo) -> Text:
        reply = await self.bus.ref(self.target).ask(message)
        return Text(f"{reply.text}!")

    @handles
    async def sleep(self, message: Sleep) -> int:
        return await self.bus.ref(self.target).ask(message)

    @handles
    async def who(self, message: WhoSent) -> str | None:
        answer: Future[str | None] = self.bus.ref(self.target).ask(message)
        return await answer


class Relay(Request[str]):
    """Asks the next of `path`, and so on; the last waits for ever. All tell `witness` of their end."""

    path: tuple[str, ...]
    witness: str


class Seen(Message):
    """What a witness is told: who began, or was cancelled."""

    what: str
    level: int


class Relayer(AsyncAgentActor):
    """For worker processes: a level of a tree of asks."""

    capabilities = ("relay",)
    concurrency = 10

    @handles
    async def relay(self, message: Relay) -> str:
        witness, level = self.bus.ref(message.witness), len(message.path)
        witness.tell(Seen("begun", level))
        try:
            if message.path:
                return await self.bus.ref(message.path[0]).ask(Relay(message.path[1:], message.witness))
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            witness.tell(Seen("cancelled", level))
            raise
        return "never"


class Die(Message):
    exit_code: int = 3


class ProcessWorker(AgentActor):
    """For worker processes: says who it is, and dies when told to."""

    capabilities = ("process",)

    @handles
    def echo(self, message: Echo) -> Text:
        return Text(f"{message.text} {os.getpid()}")

    @handles
    def die(self, message: Die) -> None:
        os._exit(message.exit_code)
