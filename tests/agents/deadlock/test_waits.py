"""A handler is stuck for an ask by what its own task awaits, and no other handler of that task by it."""

from __future__ import annotations

import asyncio
from typing import Any

from agentbus.agents import AsyncAgentActor, Request, handles
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate


class Leave(Request[str]):
    """Ask somebody, leave the answer to a task, and be done; another agent awaits that task."""

    other: str
    collector: str


class Collect(Request[str]):
    """Await what others have left."""


class AskBack(Request[str]):
    """Ask an agent something."""

    address: str


class Ping(Request[str]):
    """Answer at once."""


class Leaver(AsyncAgentActor):
    def __init__(self, left: list[asyncio.Task[str]]) -> None:
        self.left = left

    @handles
    async def leave(self, message: Leave) -> str:
        self.bus.ref(message.collector).tell(Collect())  # it is the next that this task serves
        asked = self.bus.ref(message.other).ask(AskBack(address=str(self.ref)))
        self.left.append(asyncio.create_task(_answer_of(asked)))
        self.ref.pause()
        return "left"

    @handles
    async def collect(self, _message: Collect) -> str:
        return await self.left[0]

    @handles
    async def ask_back(self, message: AskBack) -> str:
        return await self.bus.ref(message.address).ask(Ping())

    @handles
    async def ping(self, _message: Ping) -> str:
        return "pong"


async def _answer_of(asked: Any) -> str:
    return await asked


def test_who_has_ended_is_not_stuck_though_the_task_that_it_had_awaits_its_ask_for_another() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        left: list[asyncio.Task[str]] = []
        first, second, third = (bus.spawn(Leaver, left, name=name) for name in ("first", "second", "third"))
        await third.ask(Ping())  # it has started
        assert await first.ask(Leave(other=str(second), collector=str(third))) == "left"
        await virtual_sleep(2)
        assert not left[0].done()
        first.resume()
        assert await left[0] == "pong"

    simulate(scenario)
