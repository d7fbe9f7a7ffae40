"""Two and more buses over one hub: what a program sees."""

from __future__ import annotations

import asyncio

import pytest

from agentbus.agents.events import NodeDead, NodeSuspect
from agentbus.agents.outcome import Outcome
from agentbus.errors import (
    AgentFailed,
    AskTimeoutError,
    BodyTooLargeError,
    NoSuchAgentError,
    UndecodableMessageError,
    UnhandledMessageError,
)
from agentbus.runtime import Future, virtual_sleep
from tests.agents.agents import (
    Asker,
    Echo,
    Fail,
    Look,
    Note,
    NotHereError,
    Sleep,
    SyncWorker,
    Text,
    Unknown,
    WhoSent,
    Worker,
)
from tests.agents.cluster import Cluster, simulate


def test_an_agent_is_asked_from_another_node() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        a.spawn(Worker, name="worker")
        assert await b.ref("a/worker").ask(Echo("hello")) == Text("hello")
        assert await b.ref("a/worker").tell(Note(1)) is Outcome.DELIVERED

    simulate(scenario)


def test_both_kinds_of_agents_replicas_and_names_work_from_afar() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        a.spawn(SyncWorker, name="sync")
        group = a.spawn(Worker, name="many", replicas=3)
        assert await b.ref("a/sync").ask(Echo("hello")) == Text("HELLO")
        assert (await b.ref("default/a/many").ask(Echo("x"))).text == "x"
        assert await b.ref("a/many#2").ask(Echo("y")) == Text("y")
        assert str(group) == "default/a/many"
        assert b.ref(str(group)) == group

    simulate(scenario)


def test_an_agent_asks_an_agent_and_is_known_by_its_address() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b, c = await cluster.join("a", "b", "c")
        a.spawn(Worker, name="worker")
        b.spawn(Asker, "a/worker", name="asker")
        assert await c.ref("b/asker").ask(Echo("hi")) == Text("hi!")
        assert await c.ref("b/asker").ask(WhoSent()) == "default/b/asker"
        assert await c.ref("a/worker").ask(WhoSent()) is None

    simulate(scenario)


def test_what_goes_wrong_comes_back_typed_within_one_round_trip() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        a.spawn(Worker, name="worker")
        ref = b.ref("a/worker")
        start = cluster.loop.time()
        with pytest.raises(NoSuchAgentError):
            await b.ref("a/nobody").ask(Echo("x"))
        with pytest.raises(NoSuchAgentError):
            await b.ref("nowhere/nobody").ask(Echo("x"))
        with pytest.raises(NoSuchAgentError):
            await b.ref("elsewhere/a/worker").ask(Echo("x"))
        with pytest.raises(UnhandledMessageError):
            await ref.ask(Unknown())
        with pytest.raises(NotHereError) as declared:
            await ref.ask(Look("key"))
        assert declared.value.args == ("key",)
        with pytest.raises(BodyTooLargeError):
            await ref.ask(Echo("x" * (9 << 20)))
        assert cluster.loop.time() - start < 1.0

    simulate(scenario)


def test_an_undecodable_body_is_an_error_and_a_dead_letter_never_a_crash() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        a.spawn(Worker, name="worker")

        class Echoed(Echo, wire_name="Echo"):  # mypy does not know the metaclass
            text: int  # pyright: ignore[reportIncompatibleVariableOverride] -- the point

        with pytest.raises(UndecodableMessageError):
            await b.ref("a/worker").ask(Echoed(3))
        assert await b.ref("a/worker").tell(Echoed(3)) is Outcome.DEAD_LETTERED
        assert a.dead_letters.count == 2
        assert await b.ref("a/worker").ask(Echo("still there")) == Text("still there")

    simulate(scenario)


def test_a_failure_reaches_the_asker_the_events_and_the_dead_letters() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        a.spawn(Worker, name="worker", replicas=2)
        letters = a.dead_letters.listen()
        with pytest.raises(AgentFailed) as failed:
            await b.ref("a/worker").ask(Fail("no luck"))
        assert failed.value.error_type == "ValueError"
        assert await b.ref("a/worker").tell(Fail("told")) is Outcome.DEAD_LETTERED
        assert [letter.reason for letter in (letters.get(0), letters.get(0))] == ["failed", "failed"]

    simulate(scenario)


def test_deadlines_travel_and_late_work_is_not_started() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        log: list[str] = []
        a.spawn(Worker, log, name="worker")
        ref = b.ref("a/worker")
        busy = ref.ask(Sleep(10))
        with pytest.raises(AskTimeoutError):
            await ref.ask(Sleep(1), timeout=2.0)
        assert await ref.tell(Note(1), timeout=2.0) is Outcome.EXPIRED
        assert await busy == 1
        assert log == ["start worker", "begin 10", "done 10"]
        assert cluster.parts(b).exchange.waiting_asks == 0

    simulate(scenario)


def test_an_ask_inside_a_handler_inherits_its_deadline() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        log: list[str] = []
        a.spawn(Worker, log, name="worker")
        b.spawn(Asker, "a/worker", name="asker")
        busy = a.ref("worker").ask(Sleep(5))
        with pytest.raises(AskTimeoutError):
            await b.ref("asker").ask(Sleep(1), timeout=1.0)
        await busy
        await b.ref("a/worker").ask(Echo("behind it"))
        assert "begin 1" not in log

    simulate(scenario)


@pytest.mark.parametrize("silently", [False, True])
def test_an_ask_in_flight_survives_cuts_on_both_sides(silently: bool) -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        log: list[str] = []
        a.spawn(Worker, log, name="worker")
        asked = b.ref("a/worker").ask(Sleep(3))
        await cluster.until(lambda: "begin 3" in log)
        cluster.network.cut("b", silently=silently)
        await cluster.until(lambda: "done 3" in log)
        cluster.network.cut("a", silently=silently)
        assert await asked == 1
        assert log.count("begin 3") == 1
        assert not cluster.seen("a", NodeDead)
        assert not cluster.seen("b", NodeDead)

    simulate(scenario)


def test_four_thousand_tells_over_a_default_hub_arrive_once_in_order_and_never_meet_4011() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        log: list[str] = []
        a.spawn(Worker, log, name="worker")
        ref = b.ref("a/worker")
        outcomes: list[Future[Outcome]] = []
        for number in range(4000):
            outcomes.append(ref.tell(Note(number)))
            if number % 500 == 0:
                await outcomes[-1]
        assert {await outcome for outcome in outcomes} == {Outcome.DELIVERED}
        assert log[1:] == [f"note {number}" for number in range(4000)]
        assert b.runtime.dead_letters.count == 0

    simulate(scenario)


def test_order_and_exactly_once_hold_over_many_cuts() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        log: list[str] = []
        a.spawn(Worker, log, name="worker")
        ref = b.ref("a/worker")
        outcomes: list[Future[Outcome]] = []
        for number in range(300):
            outcomes.append(ref.tell(Note(number)))
            if number % 40 == 0:
                cluster.network.cut("b" if number % 80 else "a")
            await asyncio.sleep(0)
            if number % 10 == 0:
                await cluster.until(lambda: True)
        for outcome in outcomes:
            assert await outcome is Outcome.DELIVERED
        assert log[1:] == [f"note {number}" for number in range(300)]

    simulate(scenario)


def test_what_never_left_for_one_life_of_a_node_reaches_the_next() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        old_log: list[str] = []
        log: list[str] = []
        a.spawn(Worker, old_log, name="worker")
        ref = b.ref("a/worker")
        await ref.ask(Echo("1"))
        with cluster.network.refusing("a"):
            cluster.network.cut("a")
            await cluster.until(lambda: bool(cluster.seen("b", NodeSuspect)))
            asked, given_up, told = ref.ask(Echo("2")), ref.ask(Sleep(1.0)), ref.tell(Note(3))
            await virtual_sleep(1)
            given_up.cancel()
            await a.close()
        again = cluster.make("a", client="a again")
        again.spawn(Worker, log, name="worker")
        await again.start()
        assert await asked == Text("2")
        assert await told is Outcome.DELIVERED
        assert log == ["start worker", "note 3"], "nobody waits for the one that was given up"

    simulate(scenario)


def test_an_address_outlives_a_hub_restart() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        a.spawn(Worker, name="worker")
        ref = b.ref("a/worker")
        assert await ref.ask(Echo("1")) == Text("1")
        await cluster.shell.shutdown(0.5)
        asked = ref.ask(Echo("2"))
        cluster.start_hub()
        assert await asked == Text("2")
        assert not cluster.seen("b", NodeDead)

    simulate(scenario)


def test_left_is_not_dead_but_twenty_seconds_of_silence_are() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        a.spawn(Worker, name="worker")
        await b.wait_for(name="worker")
        with cluster.network.refusing("a"):
            cluster.network.cut("a")
            await cluster.until(lambda: bool(cluster.seen("b", NodeSuspect)))
            asked = b.ref("a/worker").ask(Echo("wait for me"))
            assert b.find(name="worker"), "its agents keep their places"
        assert await asked == Text("wait for me")
        with cluster.network.refusing("a"):
            cluster.network.cut("a")
            await cluster.until(lambda: bool(cluster.seen("b", NodeDead)))
            assert b.find(name="worker") == []
            with pytest.raises(NoSuchAgentError):
                await b.ref("a/worker").ask(Echo("too late"))
        await b.wait_for(name="worker")
        assert await b.ref("a/worker").ask(Echo("back")) == Text("back")

    simulate(scenario)
