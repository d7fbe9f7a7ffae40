"""Planner with specialists: one agent splits a task, finds who can do the parts, and joins the answers.

The researcher fails once on purpose: its supervisor restarts it, and the planner asks again.
"""

import asyncio
from typing import TypeVar

from agentbus import (
    AgentFailed,
    AgentRestarted,
    AsyncAgentActor,
    Bus,
    Message,
    Request,
    RestartMode,
    RestartPolicy,
    handles,
)

Reply = TypeVar("Reply", bound=Message)


class Report(Message):
    text: str


class Facts(Message):
    facts: list[str]


class Plan(Request[Report]):
    topic: str


class Research(Request[Facts]):
    topic: str


class Write(Request[Report]):
    topic: str
    facts: list[str]


class Researcher(AsyncAgentActor):
    capabilities = ("research",)

    @handles
    async def research(self, task: Research) -> Facts:
        if self.restarts == 0:
            raise ConnectionError("the library is closed")
        return Facts(facts=[f"{task.topic} {verb}" for verb in ("listen", "remember", "recover")])


class Writer(AsyncAgentActor):
    capabilities = ("write",)

    @handles
    async def write(self, task: Write) -> Report:
        return Report(text=f"About {task.topic}: " + "; ".join(task.facts) + ".")


class Planner(AsyncAgentActor):
    @handles
    async def plan(self, task: Plan) -> Report:
        found = await self.ask_somebody("research", Research(topic=task.topic))
        return await self.ask_somebody("write", Write(topic=task.topic, facts=found.facts))

    async def ask_somebody(self, capability: str, message: Request[Reply]) -> Reply:
        """Ask any agent with a capability; if it fails meanwhile, ask again."""
        for attempt in (1, 2, 3):
            [specialist, *_] = await self.bus.wait_for(capability=capability)
            try:
                return await specialist.ask(message, timeout=10)
            except (AgentFailed, AgentRestarted) as error:
                print(f"attempt {attempt}: {specialist.name} failed ({error}); asking again")
        raise TimeoutError(f"nobody could do {capability}")


async def main() -> None:
    restart = RestartPolicy(mode=RestartMode.RESTART)
    async with Bus() as bus:
        bus.spawn(Researcher, name="researcher", supervision=restart)
        bus.spawn(Writer, name="writer")
        planner = bus.spawn(Planner, name="planner")
        report = await planner.ask(Plan(topic="agents"), timeout=30)
        print(report.text)


if __name__ == "__main__":
    asyncio.run(main())
