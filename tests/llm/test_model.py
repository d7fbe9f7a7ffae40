"""A model is asked whole or streamed; refusals are heeded, and cancelling ends the request."""

from __future__ import annotations

from typing import Any

import pytest

from agentbus import AsyncAgentActor, Request, handles
from agentbus.errors import ModelUnavailableError
from agentbus.llm import Answer, Model, Quota, RateLimiter, Toolbox
from agentbus.runtime import Backoff, run_virtual
from agentbus.testing import World, simulate
from tests.llm.endpoint import Endpoint, RefusalError, Reply, say


def scripted(*replies: Reply | Exception, delay: float = 0.0) -> Endpoint:
    """Make an endpoint that answers with each in turn, and then with the last."""
    left = list(replies)

    def next_one(_body: dict[str, Any]) -> Reply:
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    return Endpoint(next_one, delay=delay)


def model_of(endpoint: Endpoint, **options: Any) -> Model:
    return Model(
        "small", client=endpoint.client(), backoff=Backoff(initial_delay=1.0, jitter_ratio=0.0), **options
    )


def test_a_whole_answer_comes_with_what_it_cost() -> None:
    endpoint = scripted(say("hi there", prompt=12, answer=3))
    answer = run_virtual(model_of(endpoint).complete("hello", temperature=0.5, max_tokens=50))
    assert (answer.text, answer.usage.total, answer.usage.exact) == ("hi there", 15, True)
    assert endpoint.bodies == [
        {
            "messages": [{"role": "user", "content": "hello"}],
            "model": "small",
            "max_tokens": 50,
            "temperature": 0.5,
        }
    ]


def test_words_come_as_they_are_said() -> None:
    endpoint = scripted(say("one two three", prompt=7, answer=3), delay=1.0)

    async def main() -> tuple[list[str], Answer]:
        async with model_of(endpoint).stream("count") as words:
            return [word async for word in words], words.answer

    words, answer = run_virtual(main())
    assert words == ["one", "two", "three"]
    assert (answer.text, answer.usage.total) == ("onetwothree", 10)
    assert endpoint.cut == 0


@pytest.mark.parametrize("streamed", [False, True])
def test_a_refusal_is_tried_again_when_the_endpoint_says(streamed: bool) -> None:
    endpoint = scripted(RefusalError(429, "7"), RefusalError(503), say("yes"))

    async def main() -> tuple[str, float]:
        import asyncio

        model, start = model_of(endpoint), asyncio.get_running_loop().time()
        if streamed:
            async with model.stream("?") as words:
                text = "".join([word async for word in words])
        else:
            text = (await model.complete("?")).text
        return text, asyncio.get_running_loop().time() - start

    text, took = run_virtual(main())
    assert text == "yes"
    assert took == pytest.approx(7 + 2, abs=0.1)


@pytest.mark.parametrize(("status", "attempts"), [(401, 1), (400, 1), (500, 5)])
def test_what_no_retry_helps_is_not_retried(status: int, attempts: int) -> None:
    endpoint = scripted(RefusalError(status))
    with pytest.raises(ModelUnavailableError) as caught:
        run_virtual(model_of(endpoint).complete("?"))
    assert caught.value.status == status
    assert endpoint.refused == attempts
    assert "sk-secret" not in str(caught.value)


def test_a_stream_that_breaks_off_says_so_after_what_came() -> None:
    endpoint = Endpoint(lambda _body: {**say(), "text": ["a", "b", None]})

    async def main() -> list[str]:
        async with model_of(endpoint).stream("?") as words:
            heard = [await anext(words), await anext(words)]
            with pytest.raises(ModelUnavailableError, match="broke off"):
                await anext(words)
        return heard

    assert run_virtual(main()) == ["a", "b"]


def test_tool_calls_are_put_together_from_a_stream() -> None:
    calls = [
        {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1,'}},
        {"index": 0, "function": {"arguments": ' "b": 2}'}},
    ]
    endpoint = scripted(say("", calls=calls))

    async def main() -> Answer:
        async with model_of(endpoint).stream("?") as words:
            async for _word in words:
                pass
            return words.answer

    (call,) = run_virtual(main()).tool_calls
    assert (call.id, call.name, call.arguments) == ("c1", "add", '{"a": 1, "b": 2}')


def call_of(name: str, arguments: str, number: str = "c1") -> Reply:
    function = {"name": name, "arguments": arguments}
    return say("", calls=[{"id": number, "type": "function", "function": function}])


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


async def fail(why: str) -> str:
    raise ValueError(why)


def test_tools_are_called_until_the_model_answers() -> None:
    endpoint = scripted(
        call_of("add", '{"a": 2, "b": 40}'),
        call_of("add", '{"a": "two"}'),
        call_of("fail", '{"why": "tired"}'),
        call_of("gone", "{}"),
        say("42"),
    )
    answer = run_virtual(Toolbox(add, fail).run(model_of(endpoint), "2 + 40?"))
    assert answer.text == "42"
    said = [message["content"] for message in endpoint.bodies[-1]["messages"] if message["role"] == "tool"]
    assert said[0] == "42"
    assert said[1].startswith("error: Expected `int`, got `str`")
    assert said[2:] == ["error: ValueError: tired", "error: there is no tool 'gone'"]


def test_a_tool_is_described_by_its_annotations() -> None:
    (schema,) = Toolbox(add).schemas()
    assert schema["function"]["name"] == "add"
    assert schema["function"]["description"] == "Add two numbers."
    parameters = schema["function"]["parameters"]
    assert parameters["properties"] == {"a": {"type": "integer"}, "b": {"type": "integer", "default": 1}}
    assert parameters["required"] == ["a"]


def test_a_model_that_never_stops_calling_is_asked_for_words() -> None:
    endpoint = Endpoint(lambda body: call_of("add", '{"a": 1}') if "tools" in body else say("enough"))
    assert run_virtual(Toolbox(add).run(model_of(endpoint), "?")).text == "enough"


def test_a_tool_without_annotations_is_refused() -> None:
    def bare(*words: str) -> str:
        return " ".join(words)

    with pytest.raises(TypeError, match="annotation"):
        Toolbox(bare)


class Tell(Request[str]):
    pass


class Teller(AsyncAgentActor):
    def __init__(self, model: Model) -> None:
        self.model = model

    @handles
    async def tell(self, _message: Tell) -> str:
        async with self.model.stream("a long story") as words:
            return " ".join([word async for word in words])


def test_cancelling_the_ask_ends_the_request_at_the_endpoint() -> None:
    endpoint = scripted(say(" ".join(["word"] * 1000)), delay=1.0)

    async def scenario(world: World) -> None:
        (bus,) = await world.join("one")
        limiter = bus.spawn(RateLimiter, Quota(concurrency=1), name="limiter")
        teller = bus.spawn(Teller, model_of(endpoint, limiter=limiter))
        story = teller.ask(Tell())
        await world.sleep(5.5)
        story.cancel()
        await world.until(lambda: endpoint.cut == 1, within=2)
        assert (await model_of(scripted(say("free")), limiter=limiter).complete("?")).text == "free"

    simulate(scenario)


def test_secrets_stay_out_of_what_is_printed() -> None:
    assert "sk-secret" not in repr(Model("m", api_key="sk-secret", base_url="http://model/v1"))
