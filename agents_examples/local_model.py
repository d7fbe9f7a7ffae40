"""A model endpoint for the examples: speaks the chat completions API over HTTP, and says what a script says.

With `OPENAI_BASE_URL` set the examples use that endpoint instead, and the model `OPENAI_MODEL`.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

Message = dict[str, Any]
Script = Callable[[list[Message]], str | Message]
"""What the model says to a conversation: text, or a tool call as `{"name": …, "arguments": {…}}`."""

MODEL = os.environ.get("OPENAI_MODEL", "local")
MAX_REQUEST_BYTES = 1_000_000


@asynccontextmanager
async def endpoint(script: Script) -> AsyncGenerator[str]:
    """Serve a model while the block runs; gives the URL for `Model(base_url=…)`."""
    elsewhere = os.environ.get("OPENAI_BASE_URL")
    if elsewhere:
        yield elsewhere
        return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for part in answer(await request(reader), script):
                writer.write(part)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has left
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=MAX_REQUEST_BYTES)
    try:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}/v1"
    finally:
        server.close()


async def request(reader: asyncio.StreamReader) -> dict[str, Any]:
    """Read the JSON body of one HTTP request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    size = next(line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:"))
    body: dict[str, Any] = json.loads(await reader.readexactly(min(int(size), MAX_REQUEST_BYTES)))
    return body


def answer(asked: dict[str, Any], script: Script) -> Iterator[bytes]:
    """Give an HTTP response in parts: whole, or an event for each word, then the end of the connection."""
    said = script(asked["messages"])
    words = said.split(" ")[: asked.get("max_tokens", 1000)] if isinstance(said, str) else []
    tools = [] if isinstance(said, str) else [tool_call(said)]
    prompt = sum(len(str(message.get("content") or "").split()) for message in asked["messages"])
    usage = {"prompt_tokens": prompt, "completion_tokens": len(words), "total_tokens": prompt + len(words)}
    kind = "text/event-stream" if asked.get("stream") else "application/json"
    yield f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n".encode()
    if not asked.get("stream"):
        message = {"role": "assistant", "content": " ".join(words) or None, "tool_calls": tools or None}
        yield json.dumps(reply({"message": message, "finish_reason": "stop"}, usage)).encode()
        return
    for number, word in enumerate(words):
        yield event(reply({"delta": {"content": word if number == 0 else f" {word}"}}))
    yield event({**reply({}), "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def reply(choice: Message, usage: Message | None = None) -> Message:
    kind = "chat.completion.chunk" if "delta" in choice else "chat.completion"
    choices = [{"index": 0, "finish_reason": None, **choice}]
    return {"id": "1", "object": kind, "created": 0, "model": MODEL, "choices": choices, "usage": usage}


def tool_call(call: Message) -> Message:
    function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
    return {"id": f"call-{call['name']}", "type": "function", "function": function}


def event(value: Message) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
