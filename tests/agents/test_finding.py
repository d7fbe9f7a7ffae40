"""Agents are found by facts, and seen with how they are doing."""

from __future__ import annotations

import pytest

from agentbus.agents.agent import AgentActor, AsyncAgentActor
from agentbus.agents.bus import Bus
from agentbus.agents.directory import AgentEntry
from agentbus.agents.events import NodeSuspect
from agentbus.agents.handlers import handles
from agentbus.agents.nodes import NodeState
from agentbus.agents.query import Query
from agentbus.agents.status import AgentInfo, AgentStatus, read_status, status_of_all
from agentbus.runtime import Future
from tests.agents.agents import Echo, Note, Sleep, Text, Worker
from tests.agents.cluster import Cluster, simulate


class Translator(AsyncAgentActor):
    capabilities = ("translate",)
    metadata = {"lang": "de", "size": 7, "gpu": True}  # noqa: RUF012 -- as users write it

    @handles
    async def echo(self, message: Echo) -> Text:
        return Text(message.text)


class Blocker(AgentActor):
    """Works until it is let go, on its own thread."""

    def __init__(self, go: Future[None], begun: Future[None]) -> None:
        self.go = go
        self.begun = begun

    @handles
    def echo(self, message: Echo) -> Text:
        self.begun.try_set(None)
        self.go.get(timeout=10)
        return Text(message.text)


def status_of(bus: Bus, name: str) -> tuple[AgentStatus, int]:
    (info,) = bus.agents(name=name)
    return info.status, info.queued


# -- find ---------------------------------------------------------------------------------------------------


def test_agents_are_found_by_facts_here_and_elsewhere() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        b.spawn(Translator, name="german")
        b.spawn(Translator, name="french", metadata={"lang": "fr"})
        (german,) = await a.wait_for(capability="translate", metadata={"lang": "de"})
        assert german.name == "german"
        (french,) = await a.wait_for(metadata={"lang": "fr", "gpu": True})
        for bus in (a, b):
            assert bus.find(metadata={"lang": "de"}) == [german]
            assert bus.find(metadata={"lang": "fr", "size": 7}) == [french]
            assert bus.find(name="german", metadata={"lang": "fr"}) == []
            assert bus.find(metadata={"gpu": 1}) == [], "True is not 1"
            assert bus.find(metadata={"size": 8}) == bus.find(metadata={"none": 0}) == []
            assert set(bus.find(metadata={"gpu": True})) == {german, french}

    simulate(scenario)


@pytest.mark.parametrize(
    ("metadata", "error"),
    [({"big": "x" * 2000}, ValueError), ({"list": []}, TypeError), ({1: "one"}, TypeError)],
)
def test_metadata_is_small_and_flat(metadata: dict[str, str], error: type[Exception]) -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        with pytest.raises(error):
            a.spawn(Translator, metadata=metadata)
        assert a.find() == []
        with pytest.raises(ValueError, match="NUL"):
            a.spawn(Translator, name="\0seat")

    simulate(scenario)


def test_an_entry_without_metadata_is_read_as_one_with_none() -> None:
    assert Query(metadata={}).matches(AgentEntry("x"))
    assert not Query(metadata={"a": 1}).matches(AgentEntry("x"))
    assert str(Query()) == "any agent"
    assert str(Query("n", "c", {"a": 1})) == "name='n', capability='c', metadata={'a': 1}"


def test_a_capability_is_found_no_more_when_its_last_replica_has_gone() -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        ref = a.spawn(Worker, name="worker", replicas=2)
        assert a.find(capability="work") == [ref]
        await ref.stop()
        assert a.find(capability="work") == []
        assert a.find(capability="work") == a.find(name="worker#1") == []
        again = a.spawn(Worker, name="worker")
        assert a.find(capability="work") == [again]

    simulate(scenario)


# -- how they do --------------------------------------------------------------------------------------------


def test_the_status_of_agents_here_is_exact() -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        ref = a.spawn(Worker, name="worker")
        await ref.ask(Echo("x"))
        assert status_of(a, "worker") == (AgentStatus.IDLE, 0)
        asked = ref.ask(Sleep(5.0))
        for number in range(3):
            ref.tell(Note(number))
        await cluster.until(lambda: status_of(a, "worker") == (AgentStatus.BUSY, 3), within=1)
        stopped = ref.stop()
        assert status_of(a, "worker")[0] is AgentStatus.DRAINING
        await asked
        await stopped
        assert a.agents() == []
        assert a.status(ref) is None

    simulate(scenario)


def test_a_sync_agent_is_busy_while_its_thread_is() -> None:
    go: Future[None] = Future()
    begun: Future[None] = Future()
    with Bus() as bus:
        ref = bus.spawn(Blocker, go, begun, name="blocker")
        asked = ref.ask(Echo("x"))
        begun.get(timeout=10)
        info = bus.status(ref)
        assert info is not None
        assert info.status is AgentStatus.BUSY
        go.set(None)
        assert asked.get(timeout=10) == Text("x")


def test_other_nodes_tell_how_their_agents_do_once_somebody_asks() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        ref = b.spawn(Worker, name="worker")
        b.spawn(Translator, name="german")
        await a.wait_for(metadata={"lang": "de"})
        assert status_of(a, "worker") == (AgentStatus.UNKNOWN, 0)
        await cluster.until(lambda: status_of(a, "worker") == (AgentStatus.IDLE, 0), within=1)
        assert status_of(a, "german") == (AgentStatus.IDLE, 0)
        ref.ask(Sleep(20.0)).quiet()
        ref.tell(Note(1))
        await cluster.until(lambda: status_of(a, "worker") == (AgentStatus.BUSY, 1), within=3)
        info = a.status(a.ref("b/worker"))
        expected = AgentInfo(ref, ("work",), {}, AgentStatus.BUSY, 1, NodeState.ALIVE)
        assert info == expected
        assert info is not None
        assert info.node == "b"
        cluster.network.cut("b")
        await cluster.until(lambda: bool(cluster.seen("a", NodeSuspect)))
        await cluster.until(lambda: status_of(a, "worker") == (AgentStatus.BUSY, 1), within=10)

    simulate(scenario)


def test_a_node_that_joins_later_tells_too() -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        assert a.agents() == []
        (b,) = await cluster.join("b")
        b.spawn(Worker, name="worker")
        await a.wait_for(name="worker")
        await cluster.until(lambda: status_of(a, "worker")[0] is AgentStatus.IDLE, within=10)

    simulate(scenario)


def test_words_of_later_versions_and_groups_of_statuses() -> None:
    assert read_status("dancing") is AgentStatus.UNKNOWN
    assert status_of_all([]) is AgentStatus.DRAINING
    assert status_of_all([AgentStatus.DRAINING, AgentStatus.BUSY, AgentStatus.IDLE]) is AgentStatus.IDLE
