"""Synthesis: a planner asks specialists, a person approves what they found, and a writer streams the result.

The model calls of all of them come out of one budget, and wait for the permits of one limiter.
"""

import asyncio
from collections.abc import AsyncIterator

from agentbus import (
    AgentRef,
    ApprovalDesk,
    AsyncAgentActor,
    Budget,
    Bus,
    Decide,
    ListPending,
    MemoryStore,
    PendingApproval,
    Request,
    Streaming,
    approved,
    handles,
)
from agentbus.llm import Model, Quota, RateLimiter
from agents_examples.local_model import MODEL, Message, endpoint

TOKENS = 5000


class Study(Request[str]):
    """Look at a topic from your side."""

    topic: str


class Write(Streaming[str]):
    topic: str
    notes: list[str]


class Report(Streaming[str]):
    topic: str


class Specialist(AsyncAgentActor):
    side: str

    def __init__(self, model: Model) -> None:
        self.model = model

    @handles
    async def study(self, task: Study) -> str:
        talk = [{"role": "system", "content": self.side}, {"role": "user", "content": task.topic}]
        return (await self.model.complete(talk, max_tokens=60)).text


class Historian(Specialist):
    capabilities = ("history",)
    side = "history"


class Economist(Specialist):
    capabilities = ("economy",)
    side = "economy"


class Writer(AsyncAgentActor):
    capabilities = ("write",)

    def __init__(self, model: Model) -> None:
        self.model = model

    @handles
    async def write(self, task: Write) -> AsyncIterator[str]:
        talk = [{"role": "system", "content": "write"}, {"role": "user", "content": "\n".join(task.notes)}]
        async with self.model.stream(talk, max_tokens=100) as words:
            async for word in words:
                yield word


class Planner(AsyncAgentActor):
    def __init__(self, desk: AgentRef) -> None:
        self.desk = desk

    @handles
    async def report(self, task: Report) -> AsyncIterator[str]:
        part = self.budget.share(3)
        asked = [self.who("history").ask(Study(topic=task.topic), budget=part)]
        asked.append(self.who("economy").ask(Study(topic=task.topic), budget=part))
        notes = [await each for each in asked]
        verdict = await approved(self.desk, action="write", payload=notes, key=f"write/{task.topic}", ttl=60)
        verdict.check(notes)  # right before the effect: these are the notes that were approved
        async for word in self.who("write").stream(Write(topic=task.topic, notes=notes)):
            yield word
        yield f"\n{self.budget.left.tokens} of {TOKENS} tokens are left.\n"

    def who(self, capability: str) -> AgentRef:
        return self.bus.find(capability=capability)[0]


def script(talk: list[Message]) -> str:
    """Say what a model would to each of the roles."""
    role, topic = (str(message["content"]) for message in talk)
    if role == "write":
        return "In short: " + topic.replace("\n", ", and ") + "."
    return {"history": f"{topic} are old", "economy": f"{topic} are cheap"}[role]


async def first_of(desk: AgentRef) -> PendingApproval:
    """Look at the desk until there is a request."""
    while True:
        for request in await desk.ask(ListPending(), timeout=10):
            return request
        await asyncio.sleep(0.05)


async def person(desk: AgentRef) -> None:
    """Approve the first request: a program does here what a person does on a page."""
    async with asyncio.timeout(30):
        request = await first_of(desk)
    print(f"asked: may I {request.action} {request.payload}?")
    decision = Decide(key=request.key, approve=True, by="Ada", digest=request.digest)
    verdict = await desk.ask(decision, timeout=10)
    print(f"{verdict.status} by {verdict.by}")


async def main() -> None:
    async with endpoint(script) as url, Bus() as bus:
        limiter = bus.spawn(RateLimiter, Quota(tokens_per_minute=30_000, concurrency=2), name="limiter")
        model = Model(MODEL, base_url=url, limiter=limiter)
        desk = bus.spawn(ApprovalDesk, MemoryStore(), name="desk")
        for role in (Historian, Economist, Writer):
            bus.spawn(role, model)
        planner = bus.spawn(Planner, desk, name="planner")
        deciding = asyncio.create_task(person(desk))
        async for word in planner.stream(
            Report(topic="message buses"), budget=Budget(tokens=TOKENS), timeout=60
        ):
            print(word, end="", flush=True)
        await deciding
        await model.close()


if __name__ == "__main__":
    asyncio.run(main())
