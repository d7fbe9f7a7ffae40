"""Debate: two debaters argue and a judge decides, all on one budget of tokens, and until that is used up."""

import asyncio

from agentbus import AgentRef, AsyncAgentActor, Budget, BudgetExhausted, Bus, Request, handles
from agentbus.llm import Model
from agents_examples.local_model import MODEL, Message, endpoint

TOKENS = 1500
FOR_THE_JUDGE = 400


class Speak(Request[str]):
    """Say something, after what was said so far."""

    so_far: list[str]


class Debate(Request[str]):
    motion: str


class Speaker(AsyncAgentActor):
    def __init__(self, model: Model, role: str) -> None:
        self.model = model
        self.role = role

    @handles
    async def speak(self, turn: Speak) -> str:
        talk = [{"role": "system", "content": self.role}, {"role": "user", "content": "\n".join(turn.so_far)}]
        return (await self.model.complete(talk, max_tokens=40)).text


class Chair(AsyncAgentActor):
    """Gives the floor in turn, for as long as the budget lasts."""

    def __init__(self, debaters: list[AgentRef], judge: AgentRef) -> None:
        self.debaters = debaters
        self.judge = judge

    @handles
    async def debate(self, task: Debate) -> str:
        kept = self.budget.hold(tokens=FOR_THE_JUDGE)
        said = [task.motion]
        try:
            while True:
                speaker = self.debaters[(len(said) - 1) % 2]
                said.append(await speaker.ask(Speak(so_far=said)))  # with all that is left of the budget
                print(f"{speaker.name}: {said[-1]}")
        except BudgetExhausted as error:
            print(f"no more: {error.what} wanted {error.wanted}, left {error.left}")
        kept.settle(tokens=0)
        return await self.judge.ask(Speak(so_far=said))


def script(talk: list[Message]) -> str:
    """Say what a model would, from its role and how much was said."""
    turns = str(talk[1]["content"]).count("\n")
    if "judge" in str(talk[0]["content"]):
        return f"After {turns} statements: the bus wins."
    arguments = ("one address book for all", "one more thing to run", "it comes along in the process")
    return f"{arguments[turns]}." if turns < len(arguments) else "As I said."


async def main() -> None:
    async with endpoint(script) as url, Bus() as bus:
        model = Model(MODEL, base_url=url)
        sides = ("for", "against")
        debaters = [bus.spawn(Speaker, model, f"You argue {side} the motion.", name=side) for side in sides]
        judge = bus.spawn(Speaker, model, "You are the judge: say who wins.", name="judge")
        chair = bus.spawn(Chair, debaters, judge, name="chair")
        debate = Debate(motion="Agents should talk over a bus.")
        print("judge:", await chair.ask(debate, budget=Budget(tokens=TOKENS), timeout=60))
        try:
            await chair.ask(debate, budget=Budget(tokens=10), timeout=60)
        except BudgetExhausted as error:
            print(f"no debate on less: {error.what} wanted {error.wanted}, left {error.left}")
        await model.close()


if __name__ == "__main__":
    asyncio.run(main())
