"""An agent that echoes, on a node of its own. Argument: URL."""

import asyncio
import sys

from agentbus import AsyncAgentActor, Bus, Message, handles
from agentbus.runtime import Runtime


class Text(Message):
    value: str


class Echo(AsyncAgentActor):
    concurrency = 64

    @handles
    async def text(self, message: Text) -> Text:
        return message


async def main(url: str) -> None:
    runtime = Runtime(loop=asyncio.get_running_loop())
    async with Bus(url, api_key="pk_live_dev", node="responder", runtime=runtime) as bus:
        bus.spawn(Echo, name="echo")
        print("ready", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
