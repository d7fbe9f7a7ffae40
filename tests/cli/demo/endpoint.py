"""An endpoint that speaks as much of the chat completions API as the demo needs, from a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct

Step = str | int | None
"""A piece of prose; an HTTP status to refuse with; None: break off here."""


class Asked(Struct):
    """What the endpoint was asked, request by request."""

    paths: list[str]
    bodies: list[dict[str, Any]]
    headers: list[str]


class FakeEndpoint:
    """Answers each chat request with the next script; the last one again when there are no more."""

    def __init__(self, scripts: Iterable[Iterable[Step]]) -> None:
        self.asked = Asked([], [], [])
        self._scripts = [list(script) for script in scripts]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (line for line in head.lower().split("\r\n") if line.startswith("content-length:")), ":0"
        )
        body = await reader.readexactly(int(length.partition(":")[2]))
        self.asked.paths.append(head.split(" ")[1])
        self.asked.headers.append(head)
        if head.startswith("GET"):
            models = {
                "object": "list",
                "data": [{"id": "tiny", "object": "model", "created": 0, "owned_by": "x"}],
            }
            writer.write(_response(200, "application/json", msgspec.json.encode(models)))
        else:
            self.asked.bodies.append(msgspec.json.decode(body))
            self._answer(writer, self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0])
        await writer.drain()
        writer.close()

    def _answer(self, writer: asyncio.StreamWriter, script: list[Step]) -> None:
        if isinstance(script[0], int):
            writer.write(_response(script[0], "application/json", b'{"error": {"message": "no"}}'))
            return
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for step in script:
            if step is None:
                writer.transport.abort()
                return
            _write_chunk(writer, b"data: " + msgspec.json.encode(_completion(str(step))) + b"\n\n")
        _write_chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")


def _completion(text: str) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    return {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "tiny", "choices": [choice]}


def _write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _response(status: int, kind: str, body: bytes) -> bytes:
    length = f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return f"HTTP/1.1 {status} Said\r\n{length}".encode() + body


@asynccontextmanager
async def serving(endpoint: FakeEndpoint) -> AsyncGenerator[str]:
    """Serve on a free port; gives the base URL."""
    server = await asyncio.start_server(endpoint.handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
