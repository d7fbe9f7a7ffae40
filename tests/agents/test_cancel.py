"""Cancelling is a tree: an ask, the handler that works on it, what that has asked, here and elsewhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest

from agentbus.agents import AsyncAgentActor, Bus, Message, Request, handles
from agentbus.agents.envelope import Envelope, Kind, Stamp, encode_body, encode_envelope
from agentbus.agents.events import AgentEnded, AgentFailure
from agentbus.agents.link import Inbound
from agentbus.agents.tombstones import MAX_TOMBSTONES, TOMBSTONE_SECONDS
from agentbus.errors import AskTimeoutError
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, post_of, simulate

GHOST = Stamp("ghost", "1")
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
                await self.bus.ref(message.path[0]).ask(Dig(message.path[1:], message.seconds))
            else:
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


def test_an_ask_that_has_not_left_is_taken_back() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two, log = await two_nodes(cluster)
        with cluster.network.refusing("one"):
            cluster.network.cut("one")
            await virtual_sleep(1.0)
            asks = [one.ref("two/middle").ask(Dig(())) for _ in range(5)]
            kept = one.ref("two/middle").ask(Dig((), 1.0))
            await virtual_sleep(1.0)
            assert all(ask.cancel() for ask in asks)
        assert await kept == "middle"
        assert log == ["begin middle", "done middle"]
        nothing_left(cluster, one, two)

    simulate(scenario)


def arrive(cluster: Cluster, bus: Bus, sequence: int, envelope: Envelope) -> None:
    """Let an envelope of a node that nobody knows arrive."""
    data = msgspec.Raw(encode_envelope(envelope))
    cluster.parts(bus).reception.take(GHOST, Inbound(sequence, data, None), trusted=True)


def test_a_cancel_that_comes_first_keeps_its_ask_from_starting() -> None:
    async def scenario(cluster: Cluster) -> None:
        _one, two, log = await two_nodes(cluster)
        dig = Envelope("7", Kind.ASK, "middle", type="Dig", body=encode_body(Dig(())))
        arrive(cluster, two, 1, Envelope("", Kind.CANCEL, correlation="7"))
        assert cluster.parts(two).reception.asked.tombstones == 1
        arrive(cluster, two, 2, dig)
        await virtual_sleep(1.0)
        assert log == []
        assert cluster.parts(two).reception.asked.tombstones == 0
        arrive(cluster, two, 3, msgspec.structs.replace(dig, id="8"))
        await virtual_sleep(1.0)
        assert log == ["begin middle"]
        arrive(cluster, two, 4, Envelope("", Kind.CANCEL, correlation="6", body=encode_body(["8"])))
        await virtual_sleep(1.0)
        assert log == ["begin middle", "cancelled middle"]

    simulate(scenario)


def test_tombstones_are_bounded_and_do_not_stay() -> None:
    async def scenario(cluster: Cluster) -> None:
        _one, two, _log = await two_nodes(cluster)
        asked = cluster.parts(two).reception.asked
        for number in range(2 * MAX_TOMBSTONES):
            arrive(cluster, two, number, Envelope("", Kind.CANCEL, correlation=str(number)))
        assert asked.tombstones == MAX_TOMBSTONES
        await virtual_sleep(TOMBSTONE_SECONDS + 1)
        assert asked.tombstones == 0
        arrive(cluster, two, 0, Envelope("", Kind.CANCEL, correlation="1"))
        asked.node_dead(GHOST)
        assert asked.tombstones == 0
        arrive(cluster, two, 0, Envelope("", Kind.CANCEL, body=msgspec.Raw(b"{")))

    simulate(scenario)


def test_what_a_dead_node_has_asked_is_cancelled() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two, log = await two_nodes(cluster)
        one.ref("two/middle").ask(Dig(())).quiet()
        await cluster.until(lambda: bool(log))
        await one.close()
        await cluster.until(lambda: "cancelled middle" in log)
        assert len(cluster.parts(two).reception.asked) == 0

    simulate(scenario)


@pytest.mark.parametrize("seed", range(10))
def test_a_cancel_at_any_moment_leaves_nothing_and_runs_nothing_twice(seed: int) -> None:
    async def scenario(cluster: Cluster) -> None:
        dice = Random(seed)
        one, two, log = await two_nodes(cluster)
        asks: list[tuple[Any, bool]] = []

        async def ask_and_cancel() -> None:
            path = dice.choice(((), ("one/low",), ("one/low", "two/bottom")))
            ask = one.ref("two/middle").ask(Dig(path, dice.choice((0.0, 0.03, 0.5))))
            await virtual_sleep(dice.choice((0.0, 0.0, 0.01, 0.02, 0.05, 0.3, 2.0)) * dice.random())
            asks.append((ask, ask.cancel()))

        tasks: list[asyncio.Task[None]] = []
        for _ in range(150):
            tasks.append(asyncio.create_task(ask_and_cancel()))
            await virtual_sleep(dice.choice((0.0, 0.0, 0.02, 0.2)))
            if dice.random() < 0.06:
                cluster.network.cut(dice.choice(("one", "two")), silently=dice.random() < 0.3)
        await asyncio.gather(*tasks)
        for ask, cancelled in asks:
            assert ask.cancelled() if cancelled else ask.get() == "middle" or ask.exception() is None
        links = [link for bus in (one, two) for link in cluster.parts(bus).traffic.links()]
        await cluster.until(lambda: all(link.idle for link in links), within=120)
        count = Counter(line.split()[0] for line in log)
        assert count["begin"] == count["cancelled"] + count["done"]
        assert log.count("begin middle") <= len(asks)
        assert all(count[word] > 5 for word in ("cancelled", "done"))
        assert log.count("begin middle") < len(asks) - 5, "some never start"
        nothing_left(cluster, one, two)

    simulate(scenario, seed=seed)


@pytest.mark.parametrize("where", ["one", "two"])
@pytest.mark.parametrize("count", [3_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_asks_that_timed_out_leave_no_slot(where: str, count: int) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two, log = await two_nodes(cluster)
        ref = one.ref("one/top" if where == "one" else "two/middle")
        await ref.pause()
        timed_out = 0
        for _ in range(count // 1000):
            asks = [ref.ask(Dig(()), timeout=2.0) for _ in range(1000)]
            await virtual_sleep(2.5)
            timed_out += sum(isinstance(ask.exception(), AskTimeoutError) for ask in asks)
        assert timed_out == count
        await ref.resume()
        await virtual_sleep(1.0)
        assert log == []
        for bus in (one, two):
            parts = cluster.parts(bus)
            assert parts.reception.asked.deadlines == parts.reception.asked.tombstones == 0
            assert len(post_of(bus).deadlines) == 0
        nothing_left(cluster, one, two)

    simulate(scenario)


def test_what_never_left_for_a_life_is_asked_of_the_next_unless_it_was_given_up() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, _two, log = await two_nodes(cluster)
        with cluster.network.refusing("two"):
            cluster.network.cut("two")
            await virtual_sleep(1.0)
            kept, given_up = (one.ref("two/middle").ask(Dig((), 1.0)) for _ in range(2))
            await virtual_sleep(1.0)
            again = cluster.make("two", client="two-again")
            again.spawn(Digger, log, name="middle")
            given_up.cancel()
            await again.start()
            assert await kept == "middle"
        assert log == ["begin middle", "done middle"]
        assert cluster.parts(one).exchange.waiting_asks == 0

    simulate(scenario)
