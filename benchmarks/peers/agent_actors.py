"""Tell and ask rates of an `AsyncAgentActor` on its own loop. Prints rates per second as JSON."""

import asyncio
import json

from agentbus import AsyncAgentActor, Bus, Message, handles
from agentbus.runtime import Runtime
from benchmarks.peers.actors import on_the_loop


class Number(Message):
    value: int


class Agent(AsyncAgentActor):
    @handles
    async def number(self, message: Number) -> Number:
        return message


async def main() -> None:
    async with Bus(runtime=Runtime(loop=asyncio.get_running_loop())) as bus:
        ref = bus.spawn(Agent, name="agent")
        print(json.dumps(await on_the_loop(ref, Number(value=1), ref.ask)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
