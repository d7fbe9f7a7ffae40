"""One agent holds a fleet within what an endpoint allows."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from agentbus import AgentRef, AsyncAgentActor, Message, handles
from agentbus.errors import AskTimeoutError, TokensOverQuotaError
from agentbus.llm import Acquire, Model, Quota, RateLimiter, Release
from agentbus.testing import World, simulate
from tests.llm.endpoint import Endpoint, say

ALLOWED = 30_000
MINUTES = 10


class Work(Message):
    pass


class Asker(AsyncAgentActor):
    """Asks a model again and again."""

    def __init__(self, endpoint: Endpoint, limiter: AgentRef, until: float) -> None:
        self.model = Model("m", client=endpoint.client(), limiter=limiter, max_tokens=400)
        self.until = until

    @handles
    async def work(self, _message: Work) -> None:
        while self.clock.monotonic() < self.until:
            await self.model.complete("x" * 300)


def test_fifty_agents_use_nine_tenths_of_an_endpoint_with_hardly_a_refusal() -> None:
    random = Random(1)
    endpoint = Endpoint(
        lambda _body: say(prompt=90, answer=random.randint(50, 350)), tokens_per_minute=ALLOWED, delay=1.5
    )

    async def scenario(world: World) -> None:
        nodes = await world.join(*(f"n{number}" for number in range(5)))
        nodes[0].spawn(RateLimiter, Quota(tokens_per_minute=ALLOWED), name="limiter")
        await world.until(lambda: all(bus.find(name="limiter") for bus in nodes))
        until = world.now + MINUTES * 60
        for number in range(50):
            bus = nodes[number % 5]
            bus.spawn(Asker, endpoint, bus.ref("n0/limiter"), until).tell(Work())
        await world.sleep(MINUTES * 60)
        used = sum(tokens for at, tokens in endpoint.accepted if at < until)
        asked = len(endpoint.accepted) + endpoint.refused
        assert endpoint.refused < 0.01 * asked
        assert used > 0.9 * ALLOWED * MINUTES
        await world.sleep(120)

    simulate(scenario)


def test_a_permit_comes_back_when_its_holder_has_died() -> None:
    async def scenario(world: World) -> None:
        (bus,) = await world.join("one")
        limiter = bus.spawn(RateLimiter, Quota(concurrency=1), name="limiter")
        await limiter.ask(Acquire(tokens=1))
        with pytest.raises(AskTimeoutError):
            await limiter.ask(Acquire(tokens=1), timeout=599)
        permit = await limiter.ask(Acquire(tokens=1), timeout=2)
        assert permit.key

    simulate(scenario)


def test_who_gives_up_leaves_the_queue() -> None:
    async def scenario(world: World) -> None:
        (bus,) = await world.join("one")
        limiter = bus.spawn(RateLimiter, Quota(concurrency=1), name="limiter")
        first = await limiter.ask(Acquire(tokens=1))
        second = limiter.ask(Acquire(tokens=1))
        third = limiter.ask(Acquire(tokens=1))
        await world.sleep(0.1)
        second.cancel()
        await world.sleep(0.1)
        await limiter.tell(Release(key=first.key, tokens=1))
        await limiter.tell(Release(key=first.key, tokens=1))
        assert (await asyncio.wait_for(third, 1)).key

    simulate(scenario)


def test_a_request_that_can_never_go_fails_typed() -> None:
    async def scenario(world: World) -> None:
        one, two = await world.join("one", "two")
        one.spawn(RateLimiter, Quota(tokens_per_minute=100), name="limiter")
        await world.until(lambda: two.find(name="limiter"))
        with pytest.raises(TokensOverQuotaError) as caught:
            await two.ref("one/limiter").ask(Acquire(tokens=101))
        assert caught.value.allowed == 100
        assert (await two.ref("one/limiter").ask(Acquire(tokens=99))).key, "the limiter goes on"

    simulate(scenario)
