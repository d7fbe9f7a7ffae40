"""Ask a model behind any endpoint that speaks the chat completions API: whole, streamed, within limits.

The `openai` library does the talking. Around it: permits of a fleet-wide limiter, retries that heed
`Retry-After`, budgets, and an end of the request when the handler that asked is cancelled.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

import openai

from agentbus.agents import AgentRef
from agentbus.errors import ModelUnavailableError
from agentbus.llm.answer import Answer, Messages, as_messages, estimate
from agentbus.llm.permits import Meter
from agentbus.llm.pieces import Pieces, answer_of
from agentbus.llm.prices import FREE, Prices
from agentbus.llm.refusals import limited_for, may_pass, retry_after, status_of
from agentbus.runtime import Backoff

T = TypeVar("T")
Tools = Sequence[Mapping[str, Any]]

DEFAULT_TOKENS = 1024


class Model:
    """One model of one endpoint.

        model = Model("small-1", limiter=bus.ref("limits/limiter"))
        answer = await model.complete("Say hello.")
        async with model.stream([{"role": "user", "content": "Tell me a story."}]) as words:
            async for word in words: ...

    Args:
        name: of the model, as the endpoint knows it.
        base_url: of the endpoint; by default `OPENAI_BASE_URL`, else the library's own.
        api_key: by default `OPENAI_API_KEY`; endpoints that need none get a placeholder.
        client: the library's client, instead of the two above; its own retries should be off.
        prices: what its tokens cost, for budgets of money.
        limiter: a `RateLimiter`, which every request asks for a permit; None = no limit.
        max_tokens: of an answer, where the call does not say.
        attempts: of one request, the first included.
        read_timeout: seconds without a sign of life from the endpoint.
        backoff: between attempts, where the endpoint does not say how long to wait.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        client: openai.AsyncOpenAI | None = None,
        prices: Prices = FREE,
        limiter: AgentRef | None = None,
        max_tokens: int = DEFAULT_TOKENS,
        attempts: int = 5,
        read_timeout: float = 120.0,
        backoff: Backoff | None = None,
    ) -> None:
        if attempts < 1:
            raise ValueError(f"a request has at least one attempt, not {attempts}")
        self.name = name
        self._client = client or openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or os.environ.get("OPENAI_API_KEY") or "none",
            max_retries=0,
            timeout=read_timeout,
        )
        self._create: Callable[..., Awaitable[Any]] = self._client.chat.completions.create
        self._prices = prices
        self._limiter = limiter
        self._max_tokens = max_tokens
        self._attempts = attempts
        self._backoff = backoff or Backoff(initial_delay=0.5, max_delay=30.0)

    def __repr__(self) -> str:
        return f"<Model {self.name!r}>"

    async def close(self) -> None:
        """Close the connections to the endpoint."""
        await self._client.close()

    # -- asking ----------------------------------------------------------------------------------------------

    async def complete(
        self, messages: Messages, *, tools: Tools = (), max_tokens: int | None = None, **options: Any
    ) -> Answer:
        """Ask, and wait for the whole answer.

        Args:
            messages: a user's text, or messages in the API's form.
            tools: descriptions in the API's form; see `Toolbox`.
            max_tokens: of the answer.
            options: handed on to the endpoint, such as `temperature`.

        Raises:
            BudgetExhausted: the handler's budget does not allow the prompt.
            TokensOverQuotaError: it can never go.
            ModelUnavailableError: the endpoint gave no answer, after all attempts.
        """
        request = _request(messages, tools, options)
        meter = self._meter(request, max_tokens)

        async def ask() -> Answer:
            async with meter as tokens:
                reply: Any = await self._create(model=self.name, max_tokens=tokens, **request)
                answer = answer_of(reply, meter.prompt_tokens)
                meter.spend(answer.usage)
                return answer

        return await self._trying(ask, meter)

    def stream(
        self, messages: Messages, *, tools: Tools = (), max_tokens: int | None = None, **options: Any
    ) -> ModelStream:
        """Ask, and take the words as they come: `async with model.stream(…) as words`; see `complete`.

        Until the first chunk has come the request is tried again as in `complete`; a stream that breaks off
        later raises `ModelUnavailableError` after what came.
        """
        request = _request(messages, tools, options)
        meter = self._meter(request, max_tokens)

        async def open_stream() -> tuple[Any, Any]:
            tokens = await meter.__aenter__()
            try:
                stream: Any = await self._create(
                    model=self.name,
                    max_tokens=tokens,
                    stream=True,
                    stream_options={"include_usage": True},
                    **request,
                )
                first = await anext(aiter(stream), None)
            except BaseException as error:
                await meter.__aexit__(type(error), error, error.__traceback__)
                raise
            return stream, first

        return ModelStream(lambda: self._trying(open_stream, meter), meter)

    def _meter(self, request: Mapping[str, Any], max_tokens: int | None) -> Meter:
        prompt = estimate(request["messages"], request.get("tools", ()))
        most = self._max_tokens if max_tokens is None else max_tokens
        return Meter(self._limiter, prompt, most, self._prices)

    async def _trying(self, ask: Callable[[], Awaitable[T]], meter: Meter) -> T:
        """Ask until there is an answer, as often as may be."""
        for attempt in range(1, self._attempts + 1):
            try:
                return await ask()
            except (openai.APIStatusError, openai.APIConnectionError) as error:
                if attempt == self._attempts or not may_pass(error):
                    raise _unavailable(error, attempt) from error
                if self._limiter is None or limited_for(error) is None:  # else it holds everybody back
                    wait = retry_after(error)
                    await asyncio.sleep(self._backoff.delay(attempt, meter.random) if wait is None else wait)
        raise AssertionError("the last attempt raises")


class ModelStream(AbstractAsyncContextManager["ModelStream"], AsyncIterator[str]):
    """The words of an answer, as they come.

    Args:
        start: sends the request; gives the library's stream and its first chunk.
        meter: counts what it costs.
    """

    def __init__(self, start: Callable[[], Awaitable[tuple[Any, Any]]], meter: Meter) -> None:
        self._start = start
        self._meter = meter
        self._pieces = Pieces(meter.prompt_tokens)
        self._stream: Any = None
        self._ahead: list[Any] = []
        self._open = False

    @property
    def answer(self) -> Answer:
        """What has come so far; all of it, once the iteration has ended."""
        return self._pieces.answer()

    async def __aenter__(self) -> Self:
        self._stream, first = await self._start()
        self._ahead = [] if first is None else [first]
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the request: what has come is paid for, whoever ends it."""
        if self._open:
            self._open = False
            try:
                self._meter.spend(self.answer.usage)
            finally:
                await self._stream.close()
                await self._meter.__aexit__(kind, error, traceback)

    async def __anext__(self) -> str:
        while True:
            chunk = self._ahead.pop() if self._ahead else await self._next_chunk()
            if chunk is None:
                raise StopAsyncIteration
            words = self._pieces.take(chunk)
            if words:
                return words

    async def _next_chunk(self) -> Any:
        try:
            return await anext(aiter(self._stream), None)
        except openai.APIError as error:
            raise ModelUnavailableError("the answer broke off") from error


def _request(messages: Messages, tools: Tools, options: Mapping[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {**options, "messages": as_messages(messages)}
    if tools:
        request["tools"] = [dict(tool) for tool in tools]
    return request


def _unavailable(error: Exception, attempts: int) -> ModelUnavailableError:
    """Say what the endpoint did, without its words, which may be anything."""
    status = status_of(error)
    if status is not None:
        said = f"answered with HTTP status {status}"
    elif isinstance(error, openai.APITimeoutError):
        said = "did not answer in time"
    else:
        said = "could not be reached"
    return ModelUnavailableError(f"the model endpoint {said}, after {attempts} attempts", status)
