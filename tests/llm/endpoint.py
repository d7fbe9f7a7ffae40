"""An endpoint that speaks the chat completions API in memory, with limits like a real one's."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import msgspec
import openai

from agentbus.runtime import virtual_sleep

WINDOW = 60.0
Reply = dict[str, Any]
Script = Callable[[dict[str, Any]], Reply]


class RefusalError(Exception):
    """Answer with an HTTP status."""

    def __init__(self, status: int, retry_after: str | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.headers = {} if retry_after is None else {"retry-after": retry_after}


def say(text: str = "hello", *, prompt: int = 10, answer: int = 5, calls: Any = None) -> Reply:
    """Make an answer."""
    return {"text": text, "prompt": prompt, "answer": answer, "calls": calls}


def _say_hello(_body: dict[str, Any]) -> Reply:
    return say()


class Endpoint(httpx2.AsyncBaseTransport):
    """Takes requests as the library sends them.

    Args:
        script: makes the answer to a request's body, or raises `RefusalError`.
        tokens_per_minute: over any minute; beyond it 429.
        delay: seconds that an answer takes.

    Attributes:
        bodies: of the requests, oldest first.
        accepted: tokens of the requests that were answered, with their times.
        refused: how many were not.
        cut: how many streams the client has ended early.
    """

    def __init__(
        self, script: Script | None = None, *, tokens_per_minute: int | None = None, delay: float = 0.0
    ) -> None:
        self._script: Script = script or _say_hello
        self._limit = tokens_per_minute
        self._delay = delay
        self._window: deque[tuple[float, int]] = deque()
        self.bodies: list[dict[str, Any]] = []
        self.accepted: list[tuple[float, int]] = []
        self.refused = 0
        self.cut = 0

    def client(self) -> openai.AsyncOpenAI:
        """Give the library's client of this endpoint."""
        http = httpx2.AsyncClient(transport=self)
        return openai.AsyncOpenAI(
            api_key="sk-secret", base_url="http://model/v1", http_client=http, max_retries=0
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body: dict[str, Any] = msgspec.json.decode(await request.aread())
        self.bodies.append(body)
        try:
            reply = self._script(body)
            self._count(reply["prompt"] + reply["answer"])
        except RefusalError as refusal:
            self.refused += 1
            return httpx2.Response(refusal.status, headers=refusal.headers, json={"error": {"message": "no"}})
        if body.get("stream"):
            kind = {"content-type": "text/event-stream"}
            return httpx2.Response(200, headers=kind, stream=Chunks(self, reply, self._delay))
        await virtual_sleep(self._delay)
        return httpx2.Response(200, json=_completion(reply))

    def _count(self, tokens: int) -> None:
        now = asyncio.get_running_loop().time()
        while self._window and self._window[0][0] <= now - WINDOW:
            self._window.popleft()
        if self._limit is not None and sum(each for _at, each in self._window) + tokens > self._limit:
            raise RefusalError(429, "2")
        self._window.append((now, tokens))
        self.accepted.append((now, tokens))


class Chunks(httpx2.AsyncByteStream):
    """The words of an answer as server-sent events; `None` among them breaks it off."""

    def __init__(self, endpoint: Endpoint, reply: Reply, delay: float) -> None:
        self._endpoint = endpoint
        self._reply = reply
        self._delay = delay
        self._done = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        words = self._reply["text"]
        for word in words.split(" ") if isinstance(words, str) else words:
            await virtual_sleep(self._delay)
            if word is None:
                self._done = True
                raise httpx2.ReadError("gone")
            yield _event(_chunk({"content": word}))
        for call in self._reply["calls"] or ():
            yield _event(_chunk({"tool_calls": [call]}))
        usage = {key: self._reply[key] for key in ("prompt", "answer")}
        yield _event({**_chunk({}), "choices": [], "usage": _usage(**usage)})
        self._done = True  # nobody reads on after this
        yield b"data: [DONE]\n\n"

    async def aclose(self) -> None:
        self._endpoint.cut += not self._done


def _usage(prompt: int, answer: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _chunk(delta: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": None}
    return {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}


def _completion(reply: Reply) -> dict[str, Any]:
    message = {"role": "assistant", "content": reply["text"], "tool_calls": reply["calls"]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = _usage(reply["prompt"], reply["answer"])
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"
