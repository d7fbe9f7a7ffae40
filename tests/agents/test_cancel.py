"""Cancelling is a tree: an ask, the handler that works on it, what that has asked, here and elsewhere."""

from __future__ import annotations

import asyncio

import pytest

from agentbus.agents import AgentActor, AsyncAgentActor, Bus, Message, Request, handles
from agentbus.agents.events import AgentEnded, AgentFailure
from agentbus.errors import AskTimeoutError
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate

LEVELS = ("one/top", "two/middle", "one/low", "two/bottom")


class Dig(Request[str]):
    """Asks the next in `path`, and the last one works."""

    path: tuple[str, ...]
    seconds: float = 100.0


class Open(Request[int]):
    """Asks another that many times, one after the other."""

    other: str
    count: int


class Commit(Request[str]):
    other: str
    fails: bool = False


class Both(Request[str]):
    others: tuple[str, str]


class Noop(Message):
    pass


class Digger(AsyncAgentActor):
    concurrency = 1000

    def __init__(self, log: list[str]) -> None:
        self.log = log

    @handles
    async def dig(self, message: Dig) -> str:
        self.log.append(f"begin {self.name}")
        try:
            if message.path:
                return await self.bus.ref(message.path[0]).ask(Dig(message.path[1:], message.seconds))
            await virtual_sleep(message.seconds)
        except asyncio.CancelledError:
            self.log.append(f"cancelled {self.name}")
            raise
        self.log.append(f"done {self.name}")
        return self.name

    @handles
    async def noop(self, message: Noop) -> int:
        return 1

    @handles
    async def open(self, message: Open) -> int:
        most = 0
        for _ in range(message.count):
            await self.bus.ref(message.other).ask(Noop())
            most = max(most, self._context.cell.open_asks)
        return most

    @handles
    async def commit(self, message: Commit) -> str:
        await self.shield(self._commit(message))
        self.log.append("not reached")
        return "committed"

    async def _commit(self, message: Commit) -> None:
        await self.bus.ref(message.other).ask(Dig((), 2.0))
        self.log.append("committed")
        if message.fails:
            raise ValueError("as ordered")

    @handles
    async def both(self, message: Both) -> str:
        first, second = (self.bus.ref(other).ask(Dig((), 50.0)) for other in message.others)
        try:
            async with asyncio.timeout(1.0):
                await first
        except TimeoutError:
            self.log.append("gave up the first")
        return await second


class SyncDigger(AgentActor):
    def __init__(self, log: list[str]) -> None:
        self.log = log


async def two_nodes(cluster: Cluster) -> tuple[Bus, Bus, list[str]]:
    log: list[str] = []
    one, two = await cluster.join("one", "two")
    for address in LEVELS:
        node, name = address.split("/")
        (one if node == "one" else two).spawn(Digger, log, name=name)
    await virtual_sleep(1.0)
    return one, two, log


def nothing_left(cluster: Cluster, *buses: Bus) -> None:
    """Check that no ask is remembered anywhere."""
    for bus in buses:
        parts = cluster.parts(bus)
        assert parts.exchange.waiting_asks == 0
        assert len(parts.reception.asked) == 0
        assert not cluster.seen(bus.node, AgentFailure)
        assert not cluster.seen(bus.node, AgentEnded)


def test_all_levels_on_two_nodes_are_cancelled_within_a_second() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two, log = await two_nodes(cluster)
        ask = one.ref(LEVELS[0]).ask(Dig(LEVELS[1:]))
        await cluster.until(lambda: "begin bottom" in log)
        ask.cancel()
        await virtual_sleep(1.0)
        assert sorted(log[4:]) == ["cancelled bottom", "cancelled low", "cancelled middle", "cancelled top"]
        nothing_left(cluster, one, two)

    simulate(scenario)


def test_a_deadline_cancels_all_levels_and_fails_no_agent() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two, log = await two_nodes(cluster)
        ask = one.ref(LEVELS[0]).ask(Dig(LEVELS[1:]), timeout=3.0)
        with pytest.raises(AskTimeoutError):
            await ask
        await virtual_sleep(1.0)
        assert sorted(log[4:]) == ["cancelled bottom", "cancelled low", "cancelled middle", "cancelled top"]
        nothing_left(cluster, one, two)

    simulate(scenario)


def test_cancelling_the_task_that_awaits_cancels_the_tree() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two, log = await two_nodes(cluster)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.0):
                await one.ref("two/middle").ask(Dig(("one/low",)))
        await virtual_sleep(1.0)
        assert log[2:] == ["cancelled middle", "cancelled low"]
        nothing_left(cluster, one, two)

    simulate(scenario)


def test_cancelling_a_child_spares_its_parent_and_its_siblings() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two, log = await two_nodes(cluster)
        reply = await one.ref("one/top").ask(Both(("two/middle", "two/bottom")))
        assert reply == "bottom"
        assert [line for line in log if "begin" not in line] == [
            "gave up the first",
            "cancelled middle",
            "done bottom",
        ]
        nothing_left(cluster, one, two)

    simulate(scenario)


@pytest.mark.parametrize("address", ["one/top", "two/bottom"])
def test_a_shielded_step_runs_to_its_end_and_is_cancelled_then(address: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two, log = await two_nodes(cluster)
        ask = one.ref(address).ask(Commit("two/middle"), timeout=1.0)
        with pytest.raises(AskTimeoutError):
            await ask
        await virtual_sleep(5.0)
        assert log == ["begin middle", "done middle", "committed"]
        nothing_left(cluster, one, two)

    simulate(scenario)


def test_a_shielded_step_that_fails_is_a_failure_though_the_message_is_cancelled() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, _two, log = await two_nodes(cluster)
        ask = one.ref("one/top").ask(Commit("two/middle", fails=True))
        await cluster.until(lambda: "begin middle" in log)
        ask.cancel()
        await cluster.until(lambda: bool(cluster.seen("one", AgentFailure)))
        assert "ValueError" in cluster.seen("one", AgentFailure)[0].error

    simulate(scenario)


@pytest.mark.parametrize("other", ["one/low", "two/middle"])
def test_a_handler_that_asks_often_keeps_only_what_is_open(other: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two, _log = await two_nodes(cluster)
        assert await one.ref("one/top").ask(Open(other, 300)) <= 1
        nothing_left(cluster, one, two)

    simulate(scenario)
