"""Tell and ask rates between two `AsyncAgentActor`s on the agents' loop, as `Bus()` has it: uvloop. Prints rates per second as JSON."""

import asyncio
import json
import time

from agentbus import AgentRef, AsyncAgentActor, Bus, Message, handles
from benchmarks.peers.conversation import ASKS, TELLS, WINDOW


class Number(Message):
    value: int


class Start(Message):
    pass


class Rates(Message):
    tell: float
    ask: float


class Echo(AsyncAgentActor):
    @handles
    async def number(self, message: Number) -> Number:
        return message


class Talker(AsyncAgentActor):
    """Tells in windows and waits for the last of each; asks one after the other."""

    def __init__(self, echo: AgentRef) -> None:
        super().__init__()
        self.echo = echo

    @handles
    async def start(self, _message: Start) -> Rates:
        return Rates(tell=TELLS / await self.tells(), ask=ASKS / await self.asks())

    async def tells(self) -> float:
        start = time.perf_counter()
        for _ in range(TELLS // WINDOW):
            for number in range(WINDOW):
                self.echo.tell(Number(value=number))
            await self.echo.ask(Number(value=0))
        return time.perf_counter() - start

    async def asks(self) -> float:
        start = time.perf_counter()
        for number in range(ASKS):
            await self.echo.ask(Number(value=number))
        return time.perf_counter() - start


async def main() -> None:
    async with Bus() as bus:
        echo = bus.spawn(Echo, name="echo")
        rates = await bus.spawn(Talker, echo, name="talker").ask(Start())
        print(json.dumps({"tell": rates.tell, "ask": rates.ask}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
