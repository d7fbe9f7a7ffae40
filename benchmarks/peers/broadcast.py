"""The `websockets` library as a fan-out server: what one connection sends goes to all others through `broadcast`."""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve


async def main() -> None:
    connections: set[ServerConnection] = set()

    async def handle(connection: ServerConnection) -> None:
        connections.add(connection)
        try:
            async for message in connection:
                broadcast(connections - {connection}, message)
        finally:
            connections.discard(connection)

    async with serve(handle, "127.0.0.1", 0, compression=None) as server:
        print("ready on", server.sockets[0].getsockname()[1], file=sys.stderr, flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
