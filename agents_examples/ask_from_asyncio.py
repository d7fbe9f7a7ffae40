"""Ask from asyncio: the same refs and futures, awaited; many at a time, one that fails, one that is late."""

import asyncio

from agentbus import AskTimeoutError, AsyncAgentActor, Bus, Message, handles


class Divide(Message):
    dividend: int
    divisor: int


class Quotient(Message):
    value: float


class Sleep(Message):
    seconds: float


class Calculator(AsyncAgentActor):
    """Handles up to eight messages at a time: while one awaits, the others go on."""

    concurrency = 8

    @handles(raises=(ZeroDivisionError,))
    async def divide(self, task: Divide) -> Quotient:
        await asyncio.sleep(0)
        return Quotient(value=task.dividend / task.divisor)

    @handles
    async def sleep(self, task: Sleep) -> None:
        await asyncio.sleep(task.seconds)


async def main() -> None:
    async with Bus() as bus:
        calculator = bus.spawn(Calculator, name="calculator")
        questions = [calculator.ask(Divide(dividend=100, divisor=n), timeout=5) for n in (1, 2, 3, 4, 5)]
        answers = await asyncio.gather(*questions)
        print("answers:", ", ".join(f"{answer.value:.3g}" for answer in answers))
        try:
            await calculator.ask(Divide(dividend=1, divisor=0), timeout=5)
        except ZeroDivisionError as error:
            print("refused:", type(error).__name__)
        try:
            await calculator.ask(Sleep(seconds=60), timeout=0.05)
        except AskTimeoutError:
            print("too late, and the agent was told: it does not go on sleeping for nobody")


if __name__ == "__main__":
    asyncio.run(main())
