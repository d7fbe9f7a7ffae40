"""Tell and ask rates between two agents of autogen-core on one loop, uvloop like ours; runs in its own environment. Prints rates per second as JSON.

A tell is a message published to the one agent that subscribes to the topic, for that is what does not wait; an ask is `send_message`.
"""

import json
import time
from dataclasses import dataclass

import uvloop
from autogen_core import (
    AgentId,
    DefaultTopicId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    TypeSubscription,
    message_handler,
)
from conversation import ASKS, TELLS, WINDOW

TOPIC = DefaultTopicId("numbers")


@dataclass
class Number:
    value: int


@dataclass
class Start:
    pass


@dataclass
class Rates:
    tell: float
    ask: float


class Echo(RoutedAgent):
    @message_handler
    async def number(self, message: Number, ctx: MessageContext) -> Number:
        return message


class Talker(RoutedAgent):
    """Tells in windows and waits for the last of each; asks one after the other."""

    def __init__(self, echo: AgentId) -> None:
        super().__init__("talker")
        self.echo = echo

    @message_handler
    async def start(self, message: Start, ctx: MessageContext) -> Rates:
        return Rates(tell=TELLS / await self.tells(), ask=ASKS / await self.asks())

    async def tells(self) -> float:
        start = time.perf_counter()
        for _ in range(TELLS // WINDOW):
            for number in range(WINDOW):
                await self.publish_message(Number(value=number), TOPIC)
            await self.send_message(Number(value=0), self.echo)
        return time.perf_counter() - start

    async def asks(self) -> float:
        start = time.perf_counter()
        for number in range(ASKS):
            await self.send_message(Number(value=number), self.echo)
        return time.perf_counter() - start


async def main() -> None:
    runtime = SingleThreadedAgentRuntime()
    await Echo.register(runtime, "echo", lambda: Echo("echo"))
    await runtime.add_subscription(TypeSubscription("numbers", "echo"))
    echo = AgentId("echo", "default")
    await Talker.register(runtime, "talker", lambda: Talker(echo))
    runtime.start()
    rates = await runtime.send_message(Start(), AgentId("talker", "default"))
    print(json.dumps({"tell": rates.tell, "ask": rates.ask}), flush=True)
    await runtime.stop()


if __name__ == "__main__":
    uvloop.run(main())
