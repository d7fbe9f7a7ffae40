"""A nats-py responder in a process of its own. Argument: port."""

import asyncio
import sys

import nats


async def main(port: int) -> None:
    connection = await nats.connect(f"nats://127.0.0.1:{port}")

    async def answer(message: "nats.aio.msg.Msg") -> None:
        await message.respond(message.data)

    await connection.subscribe("bench", cb=answer)
    await connection.flush()
    print("ready", file=sys.stderr, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
