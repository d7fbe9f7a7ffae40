"""Routes to a capability: in turn, by key, to the least busy, to all; and what happens when agents go."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from agentbus.agents.address import Address
from agentbus.agents.agent import AsyncAgentActor
from agentbus.agents.bus import Bus
from agentbus.agents.candidates import pick, that_stay, that_work
from agentbus.agents.directory import AgentEntry
from agentbus.agents.events import NodeSuspect
from agentbus.agents.finder import Sighting
from agentbus.agents.handlers import handles
from agentbus.agents.nodes import NodeState
from agentbus.agents.outcome import Outcome
from agentbus.agents.status import AgentStatus
from agentbus.errors import (
    AgentFailed,
    AskTimeoutError,
    FutureCancelledError,
    NoSuchAgentError,
    OutcomeUnknownError,
)
from tests.agents.agents import Asker, Echo, Fail, Look, Note, NotHereError, Sleep, Text, Worker
from tests.agents.cluster import Cluster, simulate


class Namer(AsyncAgentActor):
    """Answers with its own address."""

    capabilities = ("name",)

    @handles
    async def echo(self, _message: Echo) -> Text:
        return Text(str(self.ref))


class Relay(AsyncAgentActor):
    """Asks by a route, as part of the message that it handles."""

    @handles
    async def echo(self, message: Echo) -> Text:
        return await self.bus.route(capability="name", wait_timeout=5).ask(message)


class Misleading(AsyncAgentActor):
    """Its answer is that some other agent is not there."""

    capabilities = ("mislead",)

    @handles(raises=(NoSuchAgentError,))
    async def echo(self, _message: Echo) -> Text:
        raise NoSuchAgentError("somebody else")


async def with_namers(cluster: Cluster, nodes: str) -> list[Bus]:
    buses = await cluster.join(*nodes)
    for bus in buses:
        bus.spawn(Namer, name="namer")
    for bus in buses:
        await bus.wait_for(capability="name", count=len(buses))
    return buses


# -- who is chosen ------------------------------------------------------------------------------------------


def test_round_robin_goes_round_here_and_elsewhere() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, *_ = await with_namers(cluster, "abc")
        route = a.route(capability="name")
        answers = Counter([(await route.ask(Echo("x"), timeout=5)).text for _ in range(9)])
        assert set(answers.values()) == {3}
        assert len(answers) == 3
        answers = Counter([(await a.route(capability="name").ask(Echo("x"))).text for _ in range(9)])
        assert set(answers.values()) == {3}, "a route that is made for one message goes round, too"

    simulate(scenario)


def test_sticky_keeps_a_key_where_it_is_and_moves_only_the_keys_of_the_dead() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, *others = await with_namers(cluster, "abcd")
        route = a.route(capability="name", by="sticky", key=lambda message: message.text)

        async def places() -> dict[str, str]:
            return {key: (await route.ask(Echo(key))).text for key in map(str, range(40))}

        before = await places()
        assert len(set(before.values())) == 4
        assert await places() == before
        same = others[0].route(capability="name", by="sticky", key="7")
        assert (await same.ask(Echo("x"))).text == before["7"], "every node chooses the same"
        gone = others[-1]
        await gone.close()
        await cluster.until(lambda: len(a.find(capability="name")) == 3)
        after = await places()
        moved = {key for key in before if before[key] != after[key]}
        assert moved == {key for key in before if before[key].startswith("default/d/")}

    simulate(scenario)


def test_all_gives_every_agent_the_message_and_a_future_each() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, *_ = await with_namers(cluster, "abc")
        every = a.route(capability="name", by="all")
        texts = [(await reply).text for reply in every.ask(Echo("x"), timeout=5)]
        assert texts == ["default/a/namer", "default/b/namer", "default/c/namer"]
        logs: list[str] = []
        a.spawn(Worker, logs, name="one")
        a.spawn(Worker, logs, name="two")
        outcomes = [await told for told in a.route(capability="work", by="all").tell(Note(1))]
        assert outcomes == [Outcome.DELIVERED] * 2
        assert logs.count("note 1") == 2

    simulate(scenario)


def test_the_least_busy_gets_the_next_message() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        a.spawn(Worker, name="one")
        b.spawn(Worker, name="two")
        await a.wait_for(capability="work", count=2)
        route = a.route(capability="work", by="least_busy")
        a.ref("one").ask(Sleep(30.0)).quiet()
        a.agents()
        await cluster.until(lambda: a.agents(name="two")[0].status is AgentStatus.IDLE)
        for _ in range(4):
            chosen = route.choose(Note(1))
            assert chosen is not None
            assert chosen.name == "two"
        b.ref("two").ask(Sleep(30.0)).quiet()
        for number in range(3):
            b.ref("two").tell(Note(number))
        await cluster.until(lambda: a.agents(name="two")[0].queued == 3)
        assert str(route.choose(Note(1))) == "default/a/one"

    simulate(scenario)


def seen(
    name: str, status: AgentStatus, node_state: NodeState = NodeState.ALIVE, queued: int = 0
) -> Sighting:
    return Sighting(Address("ns", "node", name), AgentEntry(name), status, queued, node_state)


def test_who_drains_gets_nothing_and_who_waits_gets_it_if_there_is_nobody_else() -> None:
    idle, draining = seen("idle", AgentStatus.IDLE), seen("draining", AgentStatus.DRAINING)
    paused, stalled = seen("paused", AgentStatus.PAUSED), seen("stalled", AgentStatus.STALLED)
    suspect = seen("suspect", AgentStatus.BUSY, NodeState.SUSPECT)
    unknown = seen("unknown", AgentStatus.UNKNOWN)
    everybody = [idle, draining, paused, stalled, suspect, unknown]
    assert that_work(everybody) == [idle, unknown]
    assert that_work([paused, suspect, draining]) == [paused]
    assert that_work([suspect, draining]) == [suspect]
    assert that_stay(everybody) == [idle, paused, stalled, suspect, unknown]
    assert pick("round_robin", [draining], turn=0, key="") is None
    assert pick("least_busy", [], turn=3, key="") is None
    sticky = [pick("sticky", everybody, turn=0, key=str(key)) for key in range(99)]
    assert {each.entry.name for each in sticky if each} == {each.entry.name for each in that_stay(everybody)}
    loaded = [seen("x", AgentStatus.BUSY, queued=2), seen("y", AgentStatus.BUSY, queued=1), idle]
    assert pick("least_busy", loaded, turn=5, key="") == idle


@pytest.mark.parametrize(
    "arguments",
    [
        {"by": "sticky"},
        {"key": "x"},
        {"by": "random"},
        {"wait_timeout": -1.0},
        {"by": "all", "wait_timeout": 1.0},
    ],
)
def test_arguments_that_do_not_go_together_are_refused(arguments: dict[str, Any]) -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        with pytest.raises(ValueError, match=r"needs key=|goes with|goes by|wait_timeout"):
            a.route(**arguments)

    simulate(scenario)


# -- nobody there -------------------------------------------------------------------------------------------


def test_where_nobody_is_there_an_ask_fails_at_once_and_a_told_message_is_a_dead_letter() -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        with pytest.raises(NoSuchAgentError, match="capability='name'"):
            await a.route(capability="name").ask(Echo("x"), timeout=60)
        assert await a.route(capability="name").tell(Note(1)) is Outcome.DEAD_LETTERED
        assert a.dead_letters.count == 1
        with pytest.raises(NoSuchAgentError):
            a.route(capability="name", by="all").tell(Note(1))
        assert cluster.loop.time() < 5

    simulate(scenario)


def test_a_route_waits_for_the_first_agent_if_asked_to() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        waiting = a.route(capability="name", wait_timeout=30)
        asked, told = waiting.ask(Echo("x")), a.route(capability="work", wait_timeout=30).tell(Note(1))
        cluster.loop.call_later(10, lambda: b.spawn(Namer, name="namer"))
        cluster.loop.call_later(11, lambda: b.spawn(Worker, name="worker"))
        assert (await asked).text == "default/b/namer"
        assert await told is Outcome.DELIVERED
        start = cluster.loop.time()
        with pytest.raises(NoSuchAgentError):
            await a.route(capability="none", wait_timeout=30).ask(Echo("x"), timeout=3)
        assert cluster.loop.time() - start == pytest.approx(3, abs=0.1)
        assert await a.route(capability="none", wait_timeout=3).tell(Note(1)) is Outcome.DEAD_LETTERED
        a.spawn(Worker)  # whoever gave up is forgotten when the directory changes
        await cluster.until(lambda: cluster.parts(a).waiters.waiting == 0, within=1)

    simulate(scenario)


def test_an_ask_by_a_route_belongs_to_the_message_in_whose_handler_it_was_sent() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        relay = a.spawn(Relay, name="relay")
        cluster.loop.call_later(1, lambda: b.spawn(Namer, name="namer"))
        assert await relay.ask(Echo("x"), timeout=3) == Text("default/b/namer")

    simulate(scenario)


def test_cancelling_what_a_route_gave_cancels_the_ask() -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        log: list[str] = []
        a.spawn(Worker, log, name="worker")
        asked = a.route(capability="work").ask(Sleep(5.0))
        await cluster.until(lambda: "begin 5" in log, within=1)
        asked.cancel()
        with pytest.raises(FutureCancelledError):
            await asked
        waiting = a.route(capability="none", wait_timeout=5).ask(Echo("x"))
        waiting.cancel()
        await asyncio.sleep(0)
        assert await a.ref("worker").ask(Echo("x"), timeout=1) == Text("x")
        assert "done 5" not in log

    simulate(scenario)


# -- agents that go between the choice and the message -------------------------------------------------------


def test_an_ask_falls_to_the_next_where_it_never_left() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, *_ = await with_namers(cluster, "abc")
        await a.ref("namer").stop()
        route = a.route(capability="name")
        with cluster.network.refusing("b"), cluster.network.refusing("c"):
            cluster.network.cut("b")
            cluster.network.cut("c")
            await cluster.until(lambda: len(cluster.seen("a", NodeSuspect)) == 2)
            asked = [route.ask(Echo(str(number))) for number in range(4)]
            await asyncio.sleep(0)
            a.spawn(Namer, name="late")
            assert {(await each).text for each in asked} == {"default/a/late"}, "after the others were dead"

    simulate(scenario)


def test_an_ask_that_may_have_arrived_is_offered_to_nobody_else() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        log: list[str] = []
        b.spawn(Worker, log, name="worker")
        await a.wait_for(capability="work")
        asked = a.route(capability="work").ask(Sleep(100.0))
        await cluster.until(lambda: "begin 100" in log, within=1)
        a.spawn(Worker, log, name="other")
        with cluster.network.refusing("b"):
            cluster.network.cut("b")
            with pytest.raises(OutcomeUnknownError):
                await asked
        assert log.count("begin 100") == 1

    simulate(scenario)


def test_an_agent_that_its_node_no_longer_has_is_passed_over() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        for number in range(3):
            b.spawn(Worker, name=f"worker-{number}")
        await a.wait_for(capability="work", count=3)
        for number in range(2):
            b.ref(f"worker-{number}").stop(now=True)
        replies = [a.route(capability="work").ask(Echo("x"), timeout=5) for _ in range(3)]
        assert [await reply for reply in replies] == [Text("x")] * 3

    simulate(scenario)


@pytest.mark.parametrize(
    ("message", "error"), [(Fail(), AgentFailed), (Look("k"), NotHereError), (Sleep(9.0), AskTimeoutError)]
)
def test_other_failures_are_the_askers(message: Any, error: type[Exception]) -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        log: list[str] = []
        for name in ("one", "two"):
            a.spawn(Worker, log, name=name)
        with pytest.raises(error):
            await a.route(capability="work").ask(message, timeout=2)
        assert log.count("begin 9") <= 1

    simulate(scenario)


def test_an_answer_that_names_another_agent_is_an_answer() -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        a.spawn(Misleading, name="one")
        a.spawn(Asker, "nobody", name="two")
        with pytest.raises(NoSuchAgentError, match="somebody else"):
            await a.route(capability="mislead").ask(Echo("x"))

    simulate(scenario)
