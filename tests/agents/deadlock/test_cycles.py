"""Asks whose answer waits for the asker fail at once and by name; all others are left alone."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from agentbus.agents import AgentActor, AsyncAgentActor, Bus, Message, Request, handles
from agentbus.errors import AgentError, AskTimeoutError, DeadlockError
from agentbus.runtime import MailboxOptions, virtual_sleep
from tests.agents.cluster import Cluster, post_of, simulate


class Go(Request[str]):
    """Ask along a path of addresses; the last one just answers."""

    path: tuple[str, ...] = ()
    how: str = "await"


class Answer(Message):
    text: str


class Walker(AsyncAgentActor):
    """Asks the next of the path, and waits for it in the way that the message says."""

    def __init__(self, beside: list[asyncio.Future[Any]] | None = None) -> None:
        self.beside: list[asyncio.Future[Any]] = [] if beside is None else beside

    @handles
    async def go(self, message: Go) -> str:
        if not message.path:
            return self.name
        following = Go(path=message.path[1:], how=message.how)
        asked = self.bus.ref(message.path[0]).ask(following)
        if message.how == "beside":
            self.beside.append(asyncio.ensure_future(_quietly(asked)))
            return "beside"
        if message.how == "busy":
            self.beside.append(asyncio.ensure_future(_quietly(asked)))
            await virtual_sleep(2.0)
            return "busy"
        if message.how == "gather":
            return f"{self.name} {(await asyncio.gather(asked, virtual_sleep(0.01)))[0]}"
        if message.how == "group":
            return f"{self.name} {await self._in_a_group(asked)}"
        if message.how == "recover":
            self.beside.append(asyncio.ensure_future(_quietly(asked)))
            with suppress(ValueError):
                await asyncio.gather(self.beside[-1], _fail_after(1.0))
            return "recovered"
        if message.how == "reply":
            self.reply("early")
        return f"{self.name} {await asked}"

    async def _in_a_group(self, asked: Any) -> str:
        try:
            async with asyncio.TaskGroup() as outer:
                outer.create_task(virtual_sleep(30.0))
                nested = outer.create_task(self._in_a_nested_group(asked))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        return nested.result()

    async def _in_a_nested_group(self, asked: Any) -> str:
        try:
            async with asyncio.TaskGroup() as inner:
                task = inner.create_task(_quietly(asked))
                await virtual_sleep(0.1)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        return task.result()


async def _fail_after(seconds: float) -> None:
    await virtual_sleep(seconds)
    raise ValueError("meant to")


class Twice(Walker):
    concurrency = 2


class Open(Walker):
    reentrant = True


async def _quietly(future: Any) -> Any:
    return await future


def spawn_on(cluster: Cluster, kind: type[Walker] = Walker) -> list[str]:
    """Put a walker on each of three nodes; their addresses."""
    return [str(bus.spawn(kind, name=f"walker-{bus.node}")) for bus in cluster.buses]


def ring(nodes: tuple[str, ...], members: int, how: str = "await") -> tuple[DeadlockError, list[str], float]:
    """Have agents ask in a ring; what the program that began it gets, their addresses, and when."""

    async def scenario(cluster: Cluster) -> tuple[DeadlockError, list[str], float]:
        first, *_ = await cluster.join(*nodes)
        walkers = [
            str(cluster.buses[number % len(nodes)].spawn(Walker, name=f"w{number}"))
            for number in range(members)
        ]
        await cluster.until(lambda: len(first.find()) == members)
        start = cluster.loop.time()
        with pytest.raises(DeadlockError) as caught:
            await first.ref(walkers[0]).ask(Go(path=(*walkers[1:], walkers[0]), how=how), timeout=60)
        assert all(bus.find(name="w0") for bus in cluster.buses), "a deadlock is no failure of an agent"
        return caught.value, walkers, cluster.loop.time() - start

    return simulate(scenario)


@pytest.mark.parametrize("how", ["await", "gather", "group"])
@pytest.mark.parametrize("members", [1, 2, 3, 5])
def test_a_ring_on_one_node_fails_at_once_with_its_names(members: int, how: str) -> None:
    error, walkers, took = ring(("one",), members, how)
    assert error.cycle == (*walkers, walkers[0])
    assert took < 0.6
    for address in walkers:
        assert address in str(error)


@pytest.mark.parametrize("members", [2, 3])
def test_a_ring_over_nodes_fails_at_once_with_its_names(members: int) -> None:
    error, walkers, took = ring(("one", "two", "three"), members)
    assert error.cycle == (*walkers, walkers[0])
    assert took < 1.0


def test_who_asks_into_a_ring_without_being_part_of_it_is_not_named() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        outer, first, second = (str(bus.spawn(Walker, name=name)) for name in ("outer", "first", "second"))
        with pytest.raises(DeadlockError) as caught:
            await bus.ref(outer).ask(Go(path=(first, second, first)))
        assert caught.value.cycle == (first, second, first)

    simulate(scenario)


def test_an_agent_that_does_not_wait_may_be_asked_back() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        first, second = (str(bus.spawn(Walker, name=name)) for name in ("first", "second"))
        assert await bus.ref(first).ask(Go(path=(second, first), how="beside")) == "beside"
        await virtual_sleep(1)
        assert bus.dead_letters.count == 0

    simulate(scenario)


def test_an_agent_that_works_beside_its_ask_may_be_asked_back() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        beside: list[asyncio.Future[Any]] = []
        first, second = (str(bus.spawn(Walker, beside, name=name)) for name in ("first", "second"))
        assert await bus.ref(first).ask(Go(path=(second, first, second), how="busy")) == "busy"
        await virtual_sleep(10)
        assert [task.result() for task in beside] == ["busy", "busy", "second"]

    simulate(scenario)


def test_who_may_yet_be_freed_by_what_fails_beside_its_ask_is_not_stuck() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        beside: list[asyncio.Future[Any]] = []
        first, second = (str(bus.spawn(Walker, beside, name=name)) for name in ("first", "second"))
        following = bus.ref(first).ask(Go(path=(second, first), how="recover"))
        assert await following == "recovered"
        await virtual_sleep(10)
        assert [task.result() for task in beside] == ["recovered", "first"]

    simulate(scenario)


def test_no_wait_is_taken_for_one_of_another_agent() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        first, second = (str(bus.spawn(Walker, name=name)) for name in ("first", "second"))
        bus.ref(second).pause()
        asked = bus.ref(first).ask(Go(path=(second,)))
        await virtual_sleep(1)
        waits, told = post_of(bus).waits, list[str]()
        (number,) = waits._waits  # pyright: ignore[reportPrivateUsage] -- as a process of an agent's may count, too
        waits.watch("another", number, lambda: told.append("another"))
        waits.watch("first", number, lambda: told.append("first"))
        await virtual_sleep(1)
        assert told == ["first"]
        bus.ref(second).resume()
        assert await asked == "first second"

    simulate(scenario)


class Starter(Walker):
    """Asks another when it starts, who asks back."""

    def __init__(self, other: str, log: list[Any], how: str = "await") -> None:
        super().__init__()
        self.other = other
        self.log = log
        self.how = how

    async def on_start(self) -> None:
        asked = self.bus.ref(self.other).ask(Go(path=(str(self.ref),)))
        if self.how == "beside":
            self.beside.append(asyncio.ensure_future(_quietly(asked)))
            return
        try:
            self.log.append(await asked)
        except DeadlockError as error:
            self.log.append(error.cycle)


class OpenStarter(Starter):
    concurrency = 5
    reentrant = True


@pytest.mark.parametrize("kind", [Starter, OpenStarter])
@pytest.mark.parametrize("where", ["one", "two"])
def test_an_agent_that_waits_in_its_start_for_who_asks_back_fails_at_once(
    kind: type[Starter], where: str
) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        other = str({"one": one, "two": two}[where].spawn(Walker, name="other"))
        await cluster.until(lambda: bool(one.find(name="other")))
        log: list[Any] = []
        start = cluster.loop.time()
        starter = str(one.spawn(kind, other, log, name="starter"))
        assert await one.ref(starter).ask(Go(), timeout=30) == "starter"
        assert log == [(starter, other, starter)]
        assert cluster.loop.time() - start < 1.0

    simulate(scenario)


def test_an_agent_that_does_not_wait_in_its_start_may_be_asked_back() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        other = str(bus.spawn(Walker, name="other"))
        log: list[Any] = []
        starter = bus.spawn(Starter, other, log, how="beside", name="starter")
        assert await starter.ask(Go(), timeout=30) == "starter"
        assert await bus.ref(other).ask(Go(), timeout=30) == "other"
        assert log == []
        assert bus.dead_letters.count == 0

    simulate(scenario)


def test_who_has_replied_already_holds_nobody_up() -> None:
    async def scenario(cluster: Cluster) -> None:
        first, _second = await cluster.join("one", "two")
        here, there = spawn_on(cluster)
        await cluster.until(lambda: len(first.find()) == 2)
        assert await first.ref(here).ask(Go(path=(there, here), how="reply"), timeout=30) == "early"
        await virtual_sleep(2)
        assert sum(bus.dead_letters.count for bus in cluster.buses) == 0

    simulate(scenario)


def test_an_agent_with_a_free_hand_is_not_stuck() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        first, second = str(bus.spawn(Twice, name="first")), str(bus.spawn(Walker, name="second"))
        assert await bus.ref(first).ask(Go(path=(second, first)), timeout=5) == "first second first"
        with pytest.raises(DeadlockError):
            await bus.ref(first).ask(Go(path=(second, first, first)), timeout=5)

    simulate(scenario)


def test_a_reentrant_agent_lets_the_ask_in() -> None:
    async def scenario(cluster: Cluster) -> None:
        first, _second = await cluster.join("one", "two")
        here, there = spawn_on(cluster, Open)
        await cluster.until(lambda: len(first.find()) == 2)
        path = (there, here, there, here)
        answer = await first.ref(here).ask(Go(path=path), timeout=10)
        assert answer == "walker-one walker-two walker-one walker-two walker-one"

    simulate(scenario)


def test_an_agent_of_a_thread_cannot_be_reentrant() -> None:
    class Threaded(AgentActor):
        reentrant = True

        @handles
        def go(self, message: Go) -> str:
            return message.how

    with Bus() as bus, pytest.raises(TypeError, match="AsyncAgentActor"):
        bus.spawn(Threaded)


def test_a_cancelled_or_late_ask_ends_the_suspicion() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        first, second = (str(bus.spawn(Walker, name=name)) for name in ("first", "second"))
        asked = bus.ref(first).ask(Go(path=(second, first), how="beside"), timeout=1)
        assert await asked == "beside"
        with pytest.raises((DeadlockError, AskTimeoutError)):
            await bus.ref(first).ask(Go(path=(first,)), timeout=0.5)
        await virtual_sleep(5)
        assert len(post_of(bus).waits) == 0, "nothing may be left behind"
        assert len(bus._detector) == 0  # pyright: ignore[reportPrivateUsage] -- likewise

    simulate(scenario)


LEGAL = 100_000


class Planner(AsyncAgentActor):
    """Asks its specialists again and again, fifty at a time, two of whom ask the third."""

    concurrency = 4

    def __init__(self, specialists: list[str]) -> None:
        self.specialists = specialists

    @handles
    async def go(self, message: Go) -> str:
        for number in range(LEGAL // 4 // 50 // 2):
            first, last = self.specialists[number % 2], self.specialists[2]
            await asyncio.gather(*(self.bus.ref(first).ask(Go(path=(last,))) for _ in range(50)))
        return message.how


def test_a_hundred_thousand_legal_asks_are_left_alone() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        specialists = [str(bus.spawn(Walker, name=f"s{number}")) for number in range(3)]
        planner = bus.spawn(Planner, specialists, name="planner")
        answers = await asyncio.gather(*(_quietly(planner.ask(Go(how=str(n)))) for n in range(4)))
        assert answers == ["0", "1", "2", "3"]
        assert len(post_of(bus).waits) == 0

    simulate(scenario)


class Threaded(AgentActor):
    @handles
    def go(self, message: Go) -> str:
        if not message.path:
            return self.name
        following = Go(path=message.path[1:])
        return f"{self.name} {self.bus.ref(message.path[0]).ask(following).get(timeout=20)}"


class Filler(Threaded):
    """Fills its own mailbox, which has one place, before it asks."""

    @handles
    def go(self, message: Go) -> str:
        if message.path:
            self.ref.tell(Go())
        return super().go(message)


def test_a_thread_that_closes_a_ring_does_not_wait_for_room_in_it() -> None:
    with Bus() as bus:
        full = bus.spawn(Filler, name="full", mailbox=MailboxOptions(capacity=1))
        other = bus.spawn(Threaded, name="other")
        with pytest.raises(AgentError, match="mailbox"):
            full.ask(Go(path=(str(other), str(full)))).get(timeout=10)


def test_a_ring_of_threads_fails_at_once() -> None:
    with Bus() as bus:
        names = [str(bus.spawn(Threaded, name=f"t{number}")) for number in range(3)]
        with pytest.raises(DeadlockError) as caught:
            bus.ref(names[0]).ask(Go(path=(names[1], names[2], names[0]))).get(timeout=10)
        assert caught.value.cycle == (*names, names[0])
        assert bus.ref(names[2]).ask(Go()).get(timeout=5) == "t2"
