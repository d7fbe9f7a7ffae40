"""Tool relay: a model's tool calls become asks to agents, and their replies its next input."""

import asyncio
from typing import Any

from agentbus import AgentRef, AsyncAgentActor, Bus, Request, handles
from agentbus.llm import Model, Toolbox
from agents_examples.local_model import MODEL, Message, endpoint


class Forecast(Request[str]):
    city: str


class FreeDays(Request[list[str]]):
    month: str


class Question(Request[str]):
    text: str


class Meteorologist(AsyncAgentActor):
    @handles
    async def forecast(self, task: Forecast) -> str:
        print(f"the meteorologist is asked about {task.city}")
        return "rain until Thursday, then sun"


class Diary(AsyncAgentActor):
    @handles
    async def free_days(self, task: FreeDays) -> list[str]:
        print(f"the diary is asked about {task.month}")
        return ["Tuesday", "Friday"]


class Assistant(AsyncAgentActor):
    """Answers with the help of a model, which has the help of agents."""

    def __init__(self, model: Model, meteorologist: AgentRef, diary: AgentRef) -> None:
        self.model = model

        async def weather(city: str) -> str:
            """The forecast of this week for a city."""
            return await meteorologist.ask(Forecast(city=city), timeout=10)

        async def free_days(month: str) -> list[str]:
            """The days of a month on which nothing is planned."""
            return await diary.ask(FreeDays(month=month), timeout=10)

        self.tools = Toolbox(weather, free_days)

    @handles
    async def answer(self, question: Question) -> str:
        return (await self.tools.run(self.model, question.text)).text


def script(talk: list[Message]) -> str | Message:
    """Say what a model would: look up both, then put them together."""
    results: list[Any] = [message["content"] for message in talk if message["role"] == "tool"]
    if not results:
        return {"name": "weather", "arguments": {"city": "Bergen"}}
    if len(results) == 1:
        return {"name": "free_days", "arguments": {"month": "June"}}
    return f"Go on Friday: the forecast says {results[0]}, and of {results[1]} only that is dry."


async def main() -> None:
    async with endpoint(script) as url, Bus() as bus:
        meteorologist = bus.spawn(Meteorologist, name="meteorologist")
        diary = bus.spawn(Diary, name="diary")
        model = Model(MODEL, base_url=url)
        assistant = bus.spawn(Assistant, model, meteorologist, diary, name="assistant")
        print(await assistant.ask(Question(text="When shall I go hiking near Bergen in June?"), timeout=60))
        await model.close()


if __name__ == "__main__":
    asyncio.run(main())
