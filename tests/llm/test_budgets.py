"""What a model costs comes out of the budget of the message that it is asked for."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus import AgentRef, AsyncAgentActor, Budget, Request, handles
from agentbus.errors import BudgetExhausted
from agentbus.llm import Model, Prices, Quota, RateLimiter, Usage
from agentbus.testing import World, simulate
from tests.llm.endpoint import Endpoint, RefusalError, Reply, say

PRICES = Prices(prompt=Decimal(3), answer=Decimal(15))


class Write(Request[list[Any]]):
    times: int = 1
    stream: bool = False


class Author(AsyncAgentActor):
    """Asks a model, and says what is left of its budget."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @handles(raises=(BudgetExhausted,))
    async def write(self, task: Write) -> list[Any]:
        for _ in range(task.times):
            if task.stream:
                async with self.model.stream("x" * 90) as words:
                    _ = [word async for word in words]
            else:
                await self.model.complete("x" * 90)
        return [self.budget.left.tokens, str(self.budget.left.money)]


def author(world_bus: Any, endpoint: Endpoint, **options: Any) -> AgentRef:
    return world_bus.spawn(Author, Model("m", client=endpoint.client(), max_tokens=1000, **options))


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_used_is_spent_and_the_rest_is_left(stream: bool) -> None:
    endpoint = Endpoint(lambda _body: say("well", prompt=30, answer=20))

    async def scenario(world: World) -> None:
        (bus,) = await world.join("one")
        ref = author(bus, endpoint, prices=PRICES)
        budget = Budget(tokens=5000, money="1")
        left = await ref.ask(Write(times=3, stream=stream), budget=budget)
        assert left == [4850, str(1 - Decimal(3 * (30 * 3 + 20 * 15)) / 1_000_000)]

    simulate(scenario)


def test_an_answer_is_no_longer_than_what_is_left() -> None:
    endpoint = Endpoint(lambda _body: say(prompt=40, answer=60))

    async def scenario(world: World) -> None:
        (bus,) = await world.join("one")
        ref = author(bus, endpoint)
        await ref.ask(Write(), budget=Budget(tokens=200))
        allowed = endpoint.bodies[0]["max_tokens"]
        assert 0 < allowed < 200
        assert len(endpoint.bodies) == 1

    simulate(scenario)


def test_who_cannot_pay_the_prompt_does_not_ask() -> None:
    endpoint = Endpoint(lambda _body: say(prompt=40, answer=60))

    async def scenario(world: World) -> None:
        (bus,) = await world.join("one")
        ref = author(bus, endpoint)
        with pytest.raises(BudgetExhausted) as caught:
            await ref.ask(Write(), budget=Budget(tokens=10))
        assert caught.value.what == "tokens"
        assert endpoint.bodies == []

    simulate(scenario)


class Both(Request[int]):
    pass


class TwoAtOnce(Author):
    @handles
    async def both(self, _task: Both) -> int:
        await asyncio.gather(*(self.model.complete("x" * 90) for _ in range(2)))
        left = self.budget.left.tokens
        assert left is not None
        return left


def test_requests_that_wait_for_a_permit_leave_the_budget_to_the_others() -> None:
    endpoint = Endpoint(lambda _body: say(prompt=30, answer=20), delay=2.0)

    async def scenario(world: World) -> None:
        (bus,) = await world.join("one")
        limiter = bus.spawn(RateLimiter, Quota(concurrency=1), name="limiter")
        ref = bus.spawn(TwoAtOnce, Model("m", client=endpoint.client(), max_tokens=500, limiter=limiter))
        assert await ref.ask(Both(), budget=Budget(tokens=5000)) == 4900

    simulate(scenario)


def test_a_refused_request_costs_nothing() -> None:
    replies: list[Reply | None] = [None, None, say(prompt=30, answer=20)]

    def script(_body: dict[str, Any]) -> Reply:
        reply = replies.pop(0)
        if reply is None:
            raise RefusalError(429, "1")
        return reply

    async def scenario(world: World) -> None:
        (bus,) = await world.join("one")
        ref = author(bus, Endpoint(script))
        assert (await ref.ask(Write(), budget=Budget(tokens=2000)))[0] == 1950

    simulate(scenario)


@given(st.integers(0, 5000), st.integers(1, 5000), st.integers(0, 20_000), st.integers(0, 10**9))
def test_what_is_affordable_is_never_over_the_budget(prompt: int, most: int, tokens: int, units: int) -> None:
    left = Budget(tokens=tokens, money=Decimal(units) / 10**9)
    answer = PRICES.affordable(prompt, most, left)
    assert 1 <= answer <= most
    usage = Usage(prompt, answer)
    fits = usage.total <= tokens and PRICES.of(usage) <= Decimal(units) / 10**9
    assert fits or answer == 1
