"""What is asked of full agents on other nodes, and cancelled, streamed, or too late meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agentbus.agents import AsyncAgentActor, Bus, Message, Outcome, Request, Streaming, handles
from agentbus.agents.events import NodeDead
from agentbus.agents.link_queue import LinkOptions
from agentbus.agents.node_parts import NodeOptions
from agentbus.agents.ref import AgentRef
from agentbus.errors import AgentFailed, AskTimeoutError, MailboxFullError
from agentbus.protocol.pacer import Pace
from agentbus.runtime import Future, MailboxOptions, virtual_sleep
from tests.agents.cluster import Cluster, simulate

SMALL = MailboxOptions(capacity=4)
WINDOW = NodeOptions(link=LinkOptions(window=16))
SLOW = NodeOptions(pace=Pace(rate=20, burst=12, reserve=4))
LARGE = 6 << 20


class Work(Request[int], wire_name="full.Work"):
    number: int
    text: str = ""


class Note(Message, wire_name="full.Note"):
    number: int


class Numbers(Streaming[int], wire_name="full.Numbers"):
    count: int


class Fail(Streaming[int], wire_name="full.Fail"):
    """Fails before the first chunk, with an error of so many characters; below 0, with an undeclared one."""

    size: int


class Total(Request[int], wire_name="full.Total"):
    """Asks for the sum of what is attached."""


class TooLongError(Exception):
    """An answer, by declaration."""


class Worker(AsyncAgentActor):
    """Does one thing after another, each once its gate is open."""

    def __init__(self, gate: asyncio.Event, log: list[int]) -> None:
        self.gate = gate
        self.log = log

    @handles
    async def on_work(self, message: Work) -> int:
        await self.gate.wait()
        self.log.append(message.number)
        return message.number

    @handles
    async def on_note(self, message: Note) -> None:
        await self.gate.wait()
        self.log.append(message.number)

    @handles
    async def on_numbers(self, message: Numbers) -> AsyncIterator[int]:
        await self.gate.wait()
        self.log.append(-message.count)
        for number in range(message.count):
            yield number

    @handles(raises=(TooLongError,))
    async def on_fail(self, message: Fail) -> AsyncIterator[int]:
        if message.size < 0:
            raise ValueError("as asked to")
        if message.size:
            raise TooLongError("n" * message.size)
        yield 0

    @handles
    async def on_total(self, _message: Total) -> int:
        await self.gate.wait()
        return sum([number async for number in self.attachment])


class Scene:
    """Two nodes, and a worker on one of them that is full."""

    def __init__(self, cluster: Cluster, one: Bus, two: Bus) -> None:
        self.cluster = cluster
        self.one, self.two = one, two
        self.gate = asyncio.Event()
        self.log: list[int] = []
        two.spawn(Worker, self.gate, self.log, name="worker", mailbox=SMALL)
        self.worker: AgentRef = one.ref("two/worker")

    @staticmethod
    async def begin(cluster: Cluster, options: NodeOptions = WINDOW) -> Scene:
        one, two = await cluster.join("one", "two", options=options)
        return Scene(cluster, one, two)

    async def fill(self) -> list[Future[Outcome]]:
        """Fill the mailbox, the place beside it, and begin to hold back."""
        told = [self.worker.tell(Note(number=number)) for number in range(100)]
        await self.cluster.until(lambda: self.parked > 0 and self.held > 0)
        return told

    @property
    def parked(self) -> int:
        return len(self.cluster.parts(self.two).parking)

    @property
    def held(self) -> int:
        return sum(link.queued for link in self.cluster.parts(self.one).traffic.links())

    def nothing_left(self) -> None:
        assert self.parked == self.held == 0
        for bus in self.cluster.buses:
            parts = self.cluster.parts(bus)
            assert parts.exchange.waiting_asks == parts.streams.serving == 0
            assert len(parts.reception.asked) == parts.reception.asked.tombstones == 0
            assert parts.exchange.lives.room.used_bytes == 0


# -- asks ----------------------------------------------------------------------------------------------------


def test_asks_that_are_given_up_start_nowhere_they_may_wait() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.begin(cluster)
        asks = [scene.worker.ask(Work(number=number)) for number in range(100)]
        await cluster.until(lambda: scene.parked > 0 and scene.held > 0)
        in_hand = 100 - scene.parked - scene.held
        await virtual_sleep(1.0)
        for ask in asks[1:]:
            ask.cancel()
        await virtual_sleep(1.0)
        assert scene.held == 0, "what had not left is taken back at once"
        scene.gate.set()
        assert await asks[0] == 0
        await virtual_sleep(1.0)
        assert scene.log == [0]
        assert in_hand < 50
        scene.nothing_left()

    simulate(scenario)


def test_a_parked_ask_ends_at_its_deadline_however_long_the_agent_is_full() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.begin(cluster)
        told = [scene.worker.tell(Note(number=number)) for number in range(8)]
        late = scene.worker.ask(Work(number=100), timeout=2.0)
        patient = scene.worker.ask(Work(number=101), timeout=60.0)
        asked = cluster.parts(scene.two).reception.asked
        await cluster.until(lambda: len(asked) == 2)
        with pytest.raises(AskTimeoutError):
            await late
        await virtual_sleep(0.5)
        assert len(asked) == 1
        scene.gate.set()
        assert await patient == 101
        assert [await each for each in told] == [Outcome.DELIVERED] * 8
        assert scene.log == [*range(8), 101]
        scene.nothing_left()

    simulate(scenario)


def test_what_a_life_has_asked_that_is_over_loses_its_turn() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.begin(cluster)
        scene.two.ref("two/worker").tell(Note(number=0))
        for number in range(1, 12):
            scene.worker.ask(Work(number=number)).quiet()
        await cluster.until(lambda: scene.parked > 0)
        with cluster.network.refusing("one"):
            cluster.network.cut("one")
            await cluster.until(lambda: bool(cluster.seen("two", NodeDead)))
            scene.gate.set()
            await cluster.until(lambda: scene.parked == 0)
            await virtual_sleep(1.0)
        assert scene.log == [0]

    simulate(scenario)


@pytest.mark.parametrize(("after", "done"), [(0.0, [2]), (0.2, [2]), (1.5, [2]), (3.0, [2]), (30.0, [1, 2])])
def test_a_large_ask_that_is_given_up_on_its_way_neither_starts_nor_leaves_a_half(
    after: float, done: list[int]
) -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.begin(cluster, SLOW)
        scene.gate.set()
        await virtual_sleep(1.0)
        ask = scene.worker.ask(Work(number=1, text="x" * LARGE))
        await virtual_sleep(after)
        ask.cancel()
        assert await scene.worker.ask(Work(number=2)) == 2
        await virtual_sleep(2.0)
        assert scene.log == done
        scene.nothing_left()

    simulate(scenario)


def test_a_paused_agent_is_full_in_time_and_takes_all_once_it_is_resumed() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.begin(cluster)
        scene.gate.set()
        assert await scene.worker.pause()
        told = await scene.fill()
        given_up, ask = scene.worker.ask(Work(number=-1)), scene.worker.ask(Work(number=100))
        given_up.cancel()
        assert scene.log == []
        assert await scene.worker.resume(), "which overtakes all that waits"
        assert [await each for each in told] == [Outcome.DELIVERED] * 100
        assert await ask == 100
        assert scene.log == [*range(101)]
        scene.nothing_left()

    simulate(scenario)


# -- streams -------------------------------------------------------------------------------------------------


def test_a_stream_waits_for_a_full_agent_in_its_turn_and_holds_nobody_up() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.begin(cluster)
        scene.two.spawn(Worker, scene.gate, [], name="other")
        told = [scene.worker.tell(Note(number=number)) for number in range(10)]
        await cluster.until(lambda: scene.parked > 0)
        parked = scene.worker.stream(Numbers(count=3))
        told += [scene.worker.tell(Note(number=number)) for number in range(10, 100)]
        await cluster.until(lambda: scene.held > 0)
        held = scene.worker.stream(Numbers(count=5))
        told += [scene.worker.tell(Note(number=100))]
        await virtual_sleep(1.0)
        other = scene.one.ref("two/other").tell(Note(number=1))
        scene.gate.set()
        assert [chunk async for chunk in parked] == [0, 1, 2]
        assert [chunk async for chunk in held] == [0, 1, 2, 3, 4]
        assert {await each for each in [*told, other]} == {Outcome.DELIVERED}
        assert scene.log == [*range(10), -3, *range(10, 100), -5, 100]
        scene.nothing_left()

    simulate(scenario)


def test_streams_that_are_closed_while_they_wait_do_not_start() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.begin(cluster)
        told = await scene.fill()
        streams = [scene.worker.stream(Numbers(count=9)) for _ in range(3)]
        late = scene.worker.stream(Numbers(count=8), timeout=1.0)
        await virtual_sleep(0.5)
        for stream in streams:
            stream.cancel()
        with pytest.raises(AskTimeoutError):
            _ = [chunk async for chunk in late]
        scene.gate.set()
        assert {await each for each in told} == {Outcome.DELIVERED}
        assert await scene.worker.ask(Work(number=100)) == 100
        assert scene.log == [*range(101)]
        await virtual_sleep(1.0)
        scene.nothing_left()

    simulate(scenario)


async def nothing() -> AsyncIterator[int]:
    for number in ():
        yield number


@pytest.mark.parametrize("numbers", [[], [1, 2, 3], list(range(100)), None])
def test_an_attachment_waits_with_its_request(numbers: list[int] | None) -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.begin(cluster)
        told = await scene.fill()
        total = scene.worker.ask(Total(), attach=nothing() if numbers is None else numbers)
        await virtual_sleep(1.0)
        scene.gate.set()
        assert await total == sum(numbers or [])
        assert {await each for each in told} == {Outcome.DELIVERED}
        scene.nothing_left()

    simulate(scenario)


def test_a_request_whose_attachment_fails_while_it_is_held_does_not_start() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.begin(cluster)
        told = await scene.fill()
        total = scene.worker.ask(Total(), attach=[1], timeout=1.0)
        with pytest.raises(AskTimeoutError):
            await total
        scene.gate.set()
        assert {await each for each in told} == {Outcome.DELIVERED}
        await virtual_sleep(1.0)
        scene.nothing_left()

    simulate(scenario)


def test_too_many_streams_for_a_full_agent_are_refused() -> None:
    async def scenario(cluster: Cluster) -> None:
        options = NodeOptions(link=LinkOptions(window=16, held_capacity=20))
        scene = await Scene.begin(cluster, options)
        told = [scene.worker.tell(Note(number=number)) for number in range(30)]
        await cluster.until(lambda: scene.parked > 0)
        await virtual_sleep(1.0)
        streams = [scene.worker.stream(Numbers(count=1)) for _ in range(30)]
        refused = 0
        await virtual_sleep(1.0)
        scene.gate.set()
        for stream in streams:
            try:
                assert [chunk async for chunk in stream] == [0]
            except MailboxFullError:
                refused += 1
        assert 0 < refused < 30
        assert {await each for each in told} == {Outcome.DELIVERED}
        scene.nothing_left()

    simulate(scenario)


def test_streams_that_fail_say_so_also_if_the_link_has_no_room_for_it() -> None:
    async def scenario(cluster: Cluster) -> None:
        (one,) = await cluster.join("one")
        (two,) = await cluster.join("two", options=NodeOptions(link=LinkOptions(capacity=1)))
        scene = Scene(cluster, one, two)
        for number in range(8):
            two.spawn(Worker, scene.gate, [], name=f"worker{number}")
        await virtual_sleep(1.0)
        streams = [one.ref(f"two/worker{number}").stream(Fail(size=-1)) for number in range(8)]
        for stream in streams:
            with pytest.raises(AgentFailed) as caught:
                _ = [chunk async for chunk in stream]
            assert caught.value.error_type == "ValueError"
        scene.nothing_left()

    simulate(scenario)


def test_a_stream_that_fails_with_a_large_error_says_so() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.begin(cluster)
        with pytest.raises(TooLongError) as caught:
            _ = [chunk async for chunk in scene.worker.stream(Fail(size=300_000))]
        assert len(str(caught.value)) == 300_000
        assert [chunk async for chunk in scene.worker.stream(Fail(size=0))] == [0]
        scene.nothing_left()

    simulate(scenario)
