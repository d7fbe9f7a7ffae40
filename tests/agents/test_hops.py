"""The echo guard: messages that cause one another are counted, and end at the hop limit."""

from __future__ import annotations

from agentbus.agents import AsyncAgentActor, Message, Outcome, Request, handles
from agentbus.agents.headers import HOP_LIMIT
from agentbus.errors import HopLimitError
from tests.agents.cluster import Cluster, simulate

RING = 17
TURNS = 200


class Pass(Message):
    """Handed to the next without end."""


class Turn(Message):
    number: int


class Dig(Request[int]):
    """Asks the next, which asks the next."""


class Member(AsyncAgentActor):
    """Hands on what it gets."""

    def __init__(self, next_one: str, log: list[str]) -> None:
        self.next_one = next_one
        self.log = log

    @handles
    def on_pass(self, message: Pass) -> None:
        self.log.append(self.name)
        self.bus.ref(self.next_one).tell(message)

    @handles
    async def on_dig(self, message: Dig) -> int:
        try:
            return 1 + await self.bus.ref(self.next_one).ask(message)
        except HopLimitError as error:
            return HOP_LIMIT - error.limit


class Talker(AsyncAgentActor):
    """Answers each turn with the next one."""

    def __init__(self, other: str, heard: list[int]) -> None:
        self.other = other
        self.heard = heard

    @handles
    def on_turn(self, turn: Turn) -> None:
        self.heard.append(turn.number)
        if turn.number < TURNS:
            self.bus.ref(self.other).tell(Turn(number=turn.number + 1))


def test_a_ring_that_hands_on_without_end_stops_at_the_limit() -> None:
    async def scenario(cluster: Cluster) -> None:
        first, second = await cluster.join("one", "two")
        log: list[str] = []
        for number in range(RING):
            bus = first if number % 2 else second
            target = (number + 1) % RING
            bus.spawn(Member, f"{'one' if target % 2 else 'two'}/m{target}", log, name=f"m{number}")
        outcome = await first.ref("two/m0").tell(Pass())
        await cluster.until(lambda: first.dead_letters.count + second.dead_letters.count == 1)
        assert outcome is Outcome.DELIVERED
        assert len(log) == HOP_LIMIT + 1

    simulate(scenario)


def test_a_talk_of_two_hundred_turns_does_not_notice() -> None:
    async def scenario(cluster: Cluster) -> None:
        first, second = await cluster.join("one", "two")
        heard: list[int] = []
        first.spawn(Talker, "two/talker", heard, name="talker")
        second.spawn(Talker, "one/talker", heard, name="talker")
        second.ref("one/talker").tell(Turn(number=1))
        await cluster.until(lambda: len(heard) == TURNS)
        assert heard == list(range(1, TURNS + 1))
        assert first.dead_letters.count == second.dead_letters.count == 0

    simulate(scenario)


def test_an_ask_over_the_limit_fails_typed_and_reaches_nobody() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        for number in range(HOP_LIMIT + 2):
            bus.spawn(Member, f"m{number + 1}", [], name=f"m{number}")
        assert await bus.ref("m0").ask(Dig()) == HOP_LIMIT

    simulate(scenario)
