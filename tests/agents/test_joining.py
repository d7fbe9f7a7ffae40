"""Starting and ending a bus: credentials, permissions, trust, node ids, and hubs that are not there."""

from __future__ import annotations

import itertools
from typing import Any, cast

import pytest

from agentbus.agents.bus import Bus
from agentbus.agents.events import BusConnected, BusDisconnected, NodeDead, NodeUp
from agentbus.agents.outcome import Outcome
from agentbus.errors import (
    BusClosedError,
    InvalidNameError,
    InvalidUrlError,
    MissingPermission,
    NodeTakenError,
    NoSuchAgentError,
    NotTrustedError,
)
from agentbus.runtime import virtual_sleep
from tests.agents.agents import Echo, Note, Text, Worker
from tests.agents.cluster import Cluster, simulate


class PublicWorker(Worker):
    public = True


# -- connecting ---------------------------------------------------------------------------------------------


def test_the_first_connect_is_retried_until_there_is_a_hub() -> None:
    async def scenario(cluster: Cluster) -> None:
        a = cluster.make("a")
        with cluster.network.refusing():
            started = a.start()
            await cluster.until(lambda: len(cluster.seen("a", BusDisconnected)) > 20, within=600)
            assert not started.done()
        await started
        assert all(event.will_retry for event in cluster.seen("a", BusDisconnected))
        a.spawn(Worker, name="worker")
        assert await a.ref("worker").ask(Echo("x")) == Text("x")

    simulate(scenario)


def test_agents_here_work_while_there_is_no_hub() -> None:
    async def scenario(cluster: Cluster) -> None:
        a = cluster.make("a")
        with cluster.network.refusing():
            a.start()
            worker = a.spawn(Worker, name="worker")
            assert await worker.ask(Echo("x")) == Text("x")

    simulate(scenario)


def test_a_close_code_that_forbids_it_ends_the_bus_with_a_typed_reason() -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        a.spawn(Worker, name="worker")
        peer, now = _peer(cluster, a), cluster.shell.now()
        cluster.shell.execute(cluster.shell.hub.disconnect_peer("test", peer, now))
        with pytest.raises(BusClosedError) as ended:
            await a.ended
        assert ended.value.close_code == 4020
        with pytest.raises(BusClosedError, match="operator"):
            a.spawn(Worker, name="too-late")
        assert a.find(name="too-late") == []
        assert await a.ref("worker").ask(Echo("still here")) == Text("still here")
        with pytest.raises(BusClosedError) as refused:
            await a.ref("b/worker").ask(Echo("x"))
        assert refused.value.close_code == 4020

    simulate(scenario)


def _peer(cluster: Cluster, bus: Bus) -> str:
    (record,) = [record for record in cluster.parts(bus).membership.nodes if record.stamp.node == bus.node]
    return record.peer


def test_a_bad_credential_ends_the_start() -> None:
    async def scenario(cluster: Cluster) -> None:
        a = cluster.make("a", token=lambda: "nonsense")
        with pytest.raises(BusClosedError) as refused:
            await a.start()
        assert refused.value.close_code == 4001

    simulate(scenario)


def test_a_token_renewal_keeps_the_node() -> None:
    async def scenario(cluster: Cluster) -> None:
        numbers = itertools.count()
        (b,) = await cluster.join("b", trust="tokens", token=cluster.token("b"))
        a = cluster.make(
            "a", trust="tokens", token=lambda: str(cluster.token(f"a{next(numbers)}", lifetime=30)())
        )
        await a.start()
        a.spawn(Worker, name="worker")
        ref = b.ref("a/worker")
        for _ in range(5):
            assert await ref.ask(Echo("x")) == Text("x")
            await virtual_sleep(25)
        assert len(cluster.seen("a", BusConnected)) >= 4
        assert not cluster.seen("b", NodeDead)

    simulate(scenario)


# -- permissions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permissions", "missing"),
    [
        (["publish", "send", "presence"], "subscribe"),
        (["subscribe", "presence"], "publish"),
        (["subscribe", "send"], "presence"),
    ],
)
def test_a_start_without_what_is_needed_fails_early(permissions: list[str], missing: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        a = cluster.make("a", token=cluster.token("a", permissions=permissions))
        with pytest.raises(MissingPermission) as refused:
            await a.start()
        assert refused.value.action == missing

    simulate(scenario)


@pytest.mark.parametrize(
    "permissions",
    [
        ["publish", "subscribe", "presence"],
        ["publish", "subscribe"],
        ["subscribe", "send", "presence"],
        ["publish", "subscribe", "send"],
    ],
)
def test_whatever_suffices_works_with_fully_permitted_nodes(permissions: list[str]) -> None:
    async def scenario(cluster: Cluster) -> None:
        (full,) = await cluster.join("full", token=cluster.token("full"))
        (less,) = await cluster.join("less", token=cluster.token("less", permissions=permissions))
        full.spawn(Worker, name="worker")
        less.spawn(Worker, name="worker")
        assert await full.ref("less/worker").ask(Echo("x"), timeout=30) == Text("x")
        assert await less.ref("full/worker").ask(Echo("y"), timeout=30) == Text("y")
        cluster.network.cut("less")
        assert await less.ref("full/worker").tell(Note(1), timeout=30) is Outcome.DELIVERED
        assert await full.ref("less/worker").tell(Note(1), timeout=30) is Outcome.DELIVERED

    simulate(scenario)


def test_two_nodes_without_send_and_presence_reach_each_other() -> None:
    async def scenario(cluster: Cluster) -> None:
        permissions = ["publish", "subscribe"]
        buses = [
            (await cluster.join(node, token=cluster.token(node, permissions=permissions)))[0] for node in "ab"
        ]
        buses[0].spawn(Worker, name="worker")
        assert await buses[1].ref("a/worker").ask(Echo("x"), timeout=30) == Text("x")

    simulate(scenario)


def test_broadcast_without_publish_is_refused_typed() -> None:
    async def scenario(cluster: Cluster) -> None:
        token = cluster.token("a", permissions=["subscribe", "send", "presence"])
        (a,) = await cluster.join("a", token=token)
        with pytest.raises(MissingPermission):
            await a.broadcast("news", Note(1))

    simulate(scenario)


# -- trust --------------------------------------------------------------------------------------------------


def test_strangers_may_ask_and_tell_public_agents_only() -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a", trust="tokens", token=cluster.token("a"))
        (guest,) = await cluster.join("guest", trust="tokens", token=cluster.token("guest", node=False))
        a.spawn(PublicWorker, name="open")
        a.spawn(Worker, name="closed")
        assert await guest.ref("a/open").ask(Echo("x"), timeout=9) == Text("x")
        assert await guest.ref("a/open").tell(Note(1)) is Outcome.DELIVERED
        with pytest.raises(NotTrustedError):
            await guest.ref("a/closed").ask(Echo("x"), timeout=9)
        assert await guest.ref("a/closed").tell(Note(1)) is Outcome.DEAD_LETTERED
        with pytest.raises(NotTrustedError):
            await guest.ref("a/open").stop()
        assert [str(ref) for ref in guest.find()] == ["default/a/open"]
        guest.spawn(Worker, name="mine")
        await virtual_sleep(5)
        assert a.find(name="mine") == []
        assert not cluster.seen("a", NodeUp)

    simulate(scenario)


def test_a_stranger_s_ask_in_flight_survives_its_cut() -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a", trust="tokens", token=cluster.token("a"))
        guest = cluster.make(
            "guest", trust="tokens"
        )  # a publishable key: another peer id on every connection
        await guest.start()
        a.spawn(PublicWorker, name="open")
        assert await guest.ref("a/open").ask(Echo("x"), timeout=9) == Text("x")
        cluster.network.cut("guest")
        assert await guest.ref("a/open").ask(Echo("y"), timeout=30) == Text("y")

    simulate(scenario)


# -- node ids -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared_peer", [False, True])
def test_a_second_living_holder_of_a_node_id_fails_to_start(shared_peer: bool) -> None:
    async def scenario(cluster: Cluster) -> None:
        token = cluster.token("same") if shared_peer else None
        (a,) = await cluster.join("a", token=token)
        a.spawn(Worker, name="worker")
        twin = cluster.make("a", client="twin", token=token)
        with pytest.raises(NodeTakenError):
            await twin.start()
        (b,) = await cluster.join("b")
        assert await b.ref("a/worker").ask(Echo("x")) == Text("x")

    simulate(scenario)


def test_a_restarted_process_takes_its_node_id_over() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        a.spawn(Worker, name="worker")
        await b.wait_for(name="worker")
        with cluster.network.refusing("a"):
            cluster.network.cut("a")
            again = cluster.make("a", client="again")
            await again.start()
            again.spawn(Worker, name="worker2")
            assert await b.ref("a/worker2").ask(Echo("x")) == Text("x")
            with pytest.raises(NoSuchAgentError):
                await b.ref("a/worker").ask(Echo("x"))
        with pytest.raises(NodeTakenError):  # the old process comes back to find itself replaced
            await a.ended

    simulate(scenario)


# -- the end ------------------------------------------------------------------------------------------------


def test_drain_finishes_what_was_sent_and_its_answers_arrive() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        log: list[str] = []
        a.spawn(Worker, log, name="worker")
        asked = [b.ref("a/worker").ask(Echo(str(number))) for number in range(50)]
        assert await b.ref("a/worker").tell(Note(1)) is Outcome.DELIVERED
        assert await a.drain(timeout=10) is True
        assert [(await each).text for each in asked] == [str(number) for number in range(50)]
        await cluster.until(lambda: bool(cluster.seen("b", NodeDead)), within=1)
        assert log[-1] == "stop worker"

    simulate(scenario)


def test_close_is_idempotent_and_whatever_follows_is_typed() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        ref = a.spawn(Worker, name="worker")
        pending = a.ref("b/nobody-yet")
        await a.close()
        await a.close()
        await a.ended
        assert await ref.tell(Note(1)) is Outcome.DEAD_LETTERED
        with pytest.raises(NoSuchAgentError):
            await ref.ask(Echo("x"))
        with pytest.raises(BusClosedError):
            await pending.ask(Echo("x"))
        for call in (lambda: a.spawn(Worker), lambda: a.listen("x", Note, print)):
            with pytest.raises(BusClosedError):
                call()
        with pytest.raises(BusClosedError):
            await a.start()
        with pytest.raises(BusClosedError):
            await a.broadcast("x", Note(1))
        del b

    simulate(scenario)


def test_asks_that_wait_when_the_bus_closes_are_told() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        a.spawn(Worker, name="worker")
        with cluster.network.partition("a"):
            asked = b.ref("a/worker").ask(Echo("x"))
            told = b.ref("a/worker").tell(Note(1))
            await virtual_sleep(1)
            await b.close()
            with pytest.raises(BusClosedError):
                await asked
            assert await told in {Outcome.UNKNOWN, Outcome.DEAD_LETTERED}

    simulate(scenario)


def test_arguments_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ValueError, match="credential goes with a url"):
        Bus(api_key="pk_live_x")
    with pytest.raises(ValueError, match="not both"):
        Bus("ws://localhost", api_key="pk_live_x", listen="127.0.0.1:0")
    with pytest.raises(ValueError, match="exactly one"):
        Bus("ws://localhost")
    with pytest.raises(InvalidUrlError):
        Bus("http://localhost", api_key="pk_live_x")
    with pytest.raises(InvalidUrlError):
        Bus(listen="somewhere")
    with pytest.raises(InvalidNameError):
        Bus(node="")
    with pytest.raises(ValueError, match="trust"):
        Bus("ws://localhost", api_key="pk_live_x", trust=cast("Any", "some"))
