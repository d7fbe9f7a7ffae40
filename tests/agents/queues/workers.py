"""A worker that tests steer by hand: it takes what its queue gives it, and settles what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from agentbus import AgentRef, AsyncAgentActor, Bus, Message, Request, handles
from agentbus.agents.message import message_types
from agentbus.agents.queues.core.job import LeasedJob, Value
from agentbus.agents.queues.messages import Attach, Attached, Leased, Revoked, Settle, Settled, Settlement
from agentbus.agents.queues.names import agent_name


class Double(Request[int], wire_name="queue_tests.Double"):
    number: int


class Note(Message, wire_name="queue_tests.Note"):
    text: str


class Answer(Message, wire_name="queue_tests.Answer"):
    text: str


class Question(Request[Answer], wire_name="queue_tests.Question"):
    text: str


class HandWorker(AsyncAgentActor):
    """Takes jobs; `leased` and `revoked` are what came."""

    concurrency = 10

    def __init__(self, leased: asyncio.Queue[LeasedJob], revoked: list[str]) -> None:
        self._leased, self._revoked = leased, revoked

    @handles
    async def take(self, message: Leased) -> None:
        for job in message.jobs:
            self._leased.put_nowait(job)

    @handles
    async def stop(self, message: Revoked) -> None:
        self._revoked.extend(message.tokens)


class Hand:
    """The hand that steers it."""

    def __init__(self, bus: Bus, host: str, queue: str = "tasks", session: str = "one") -> None:
        self.leased: asyncio.Queue[LeasedJob] = asyncio.Queue()
        self.revoked: list[str] = []
        self.session = session
        self.ref: AgentRef = bus.spawn(HandWorker, self.leased, self.revoked)
        self.queue: AgentRef = bus.ref(f"{host}/{agent_name(queue)}")

    async def attach(self, capacity: int = 1, **fields: Any) -> Attached:
        return await self.queue.ask(Attach(str(self.ref), self.session, capacity, **fields))

    async def settle(self, *settlements: Settlement) -> Settled:
        return await self.queue.ask(Settle(settlements))

    async def ack(self, job: LeasedJob, value: Any = None) -> Settled:
        return await self.settle(Settlement(job.token, "ack", as_value(value)))


def as_value(value: Any) -> Value:
    if isinstance(value, Message):
        return Value(value.__wire_name__, value.__wire_version__, msgspec.Raw(msgspec.json.encode(value)))
    return Value(body=msgspec.Raw(msgspec.json.encode(value)))


def message_of(job: LeasedJob) -> Any:
    return msgspec.json.decode(job.body, type=message_types.find(job.type, job.version))


async def serve(hand: Hand, answer: Callable[[Any], Any], jobs: int) -> None:
    """Work on so many jobs, one after the other."""
    await hand.attach(1)
    for _ in range(jobs):
        job = await hand.leased.get()
        await hand.ack(job, answer(message_of(job)))
