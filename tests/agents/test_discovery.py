"""Finding, waiting, watching, broadcasting."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from agentbus.agents.events import BusConnected, BusDisconnected, DeathReason, NodeDead
from agentbus.agents.message import Message
from agentbus.agents.watching import AgentDown
from agentbus.errors import BusClosedError, InvalidNameError, MailboxFullError
from agentbus.runtime import virtual_sleep
from tests.agents.agents import Echo, Fail, Note, SyncWorker, Text, Worker
from tests.agents.cluster import Cluster, simulate


class News(Message):
    headline: str


class Weather(Message):
    degrees: float


# -- find and wait for --------------------------------------------------------------------------------------


def test_agents_are_found_here_at_once_and_elsewhere_when_announced() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        a.spawn(Worker, name="worker")
        b.spawn(SyncWorker, name="sync")
        assert [str(ref) for ref in a.find(capability="work")] == ["default/a/worker"]
        found = await a.wait_for(capability="work", count=2)
        assert [str(ref) for ref in found] == ["default/a/worker", "default/b/sync"]
        assert [str(ref) for ref in a.find(name="sync")] == ["default/b/sync"]
        assert [str(ref) for ref in a.find(capability="sync")] == ["default/b/sync"]
        assert a.find(name="worker", capability="sync") == []
        assert len(a.find()) == 2

    simulate(scenario)


def test_a_late_joiner_knows_all_when_it_has_started() -> None:
    async def scenario(cluster: Cluster) -> None:
        buses = await cluster.join(*"abcde")
        for bus in buses:
            bus.spawn(Worker, name="worker")
        await buses[0].wait_for(name="worker", count=5)
        (late,) = await cluster.join("late")
        assert len(late.find(name="worker")) == 5

    simulate(scenario)


def test_an_agent_that_stops_is_found_no_more() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        ref = a.spawn(Worker, name="worker")
        await b.wait_for(name="worker")
        assert await ref.stop() is True
        assert a.find(name="worker") == []
        await cluster.until(lambda: not b.find(name="worker"))
        assert await ref.stop() is False

    simulate(scenario)


def test_a_wait_can_be_given_up_and_ends_with_the_bus() -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        waiting = a.wait_for(name="nobody")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_wait(waiting), 1.0)
        assert waiting.cancelled()
        forever = a.wait_for(name="nobody")
        await a.close()
        with pytest.raises(BusClosedError):
            await forever

    async def _wait(future: object) -> None:
        await future  # pyright: ignore[reportGeneralTypeIssues] -- our own awaitable

    simulate(scenario)


def test_a_wait_that_is_cancelled_is_forgotten_and_too_many_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agentbus.agents.finder.MAX_WAITERS", 3)

    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        first, *others = [a.wait_for(name="later") for _ in range(3)]
        with pytest.raises(MailboxFullError):
            await a.wait_for(name="nobody")
        first.cancel()
        await virtual_sleep(0.01)
        assert cluster.parts(a).waiters.waiting == 2
        another = a.wait_for(name="later")
        later = a.spawn(Worker, name="later")
        assert [await each for each in (*others, another)] == [[later]] * 3
        assert await a.wait_for(name="later") == [later]
        assert cluster.parts(a).waiters.waiting == 0

    simulate(scenario)


def test_an_agent_is_stopped_from_another_node() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        log: list[str] = []
        a.spawn(Worker, log, name="worker")
        assert await b.ref("a/worker").stop() is True
        assert log[-1] == "stop worker"
        assert await b.ref("a/worker").stop() is False

    simulate(scenario)


# -- watch --------------------------------------------------------------------------------------------------


def test_a_watch_fires_once_when_the_agent_ends() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        ref = a.spawn(Worker, name="worker")
        seen: list[AgentDown] = []
        far, near = b.ref("a/worker"), a.ref("worker")
        far.watch(seen.append)
        near.watch(seen.append)
        cancelled = far.watch(seen.append)
        cancelled.cancel()
        assert await far.ask(Echo("x")) == Text("x")
        assert seen == []
        await ref.stop()
        await cluster.until(lambda: len(seen) == 2)
        assert seen == [AgentDown("default/a/worker", "ended")] * 2

    simulate(scenario)


def test_a_watch_that_was_called_off_is_silent_and_may_be_called_off_at_any_time() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        ref = a.spawn(Worker, name="worker")
        seen: list[AgentDown] = []
        near, far = ref.watch(seen.append), b.ref("a/worker").watch(seen.append)
        for _ in range(100):
            ref.watch(seen.append).cancel()
        near.cancel()
        kept = ref.watch(seen.append)
        await b.close()
        far.cancel()
        await ref.stop()
        await cluster.until(lambda: bool(seen))
        assert seen == [AgentDown("default/a/worker", "ended")]
        await a.close()
        kept.cancel()

    simulate(scenario)


def test_watches_that_were_called_off_leave_nothing_at_the_agent() -> None:
    class Heavy:
        def note(self, down: AgentDown) -> None: ...

    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        ref = a.spawn(Worker, name="worker")
        heavy = Heavy()
        gone = weakref.ref(heavy)
        ref.watch(heavy.note).cancel()
        assert await ref.ask(Echo("x")) == Text("x")
        del heavy
        gc.collect()
        assert gone() is None

    simulate(scenario)


def test_a_watch_on_nobody_fires_at_once() -> None:
    async def scenario(cluster: Cluster) -> None:
        _, b = await cluster.join("a", "b")
        seen: list[str] = []
        for address in ("a/nobody", "nowhere/nobody", "nobody"):
            b.ref(address).watch(lambda down: seen.append(down.reason))
        await cluster.until(lambda: len(seen) == 3, within=5)
        assert set(seen) == {"no_such_agent"}

    simulate(scenario)


def test_a_restart_and_a_cut_fire_no_watch() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        a.spawn(Worker, name="worker", replicas=2)
        seen: list[AgentDown] = []
        b.ref("a/worker").watch(seen.append)
        await b.ref("a/worker").tell(Fail())
        cluster.network.cut()
        assert await b.ref("a/worker").ask(Echo("x")) == Text("x")
        assert seen == []

    simulate(scenario)


@pytest.mark.parametrize("goodbye", [True, False])
def test_a_watch_fires_when_the_node_is_dead(goodbye: bool) -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        a.spawn(Worker, name="worker")
        seen: list[AgentDown] = []
        b.ref("a/worker").watch(seen.append)
        assert await b.ref("a/worker").ask(Echo("x"))
        start = cluster.loop.time()
        if goodbye:
            await a.close()
            await cluster.until(lambda: bool(seen), within=1)
            assert seen[0].reason in {"goodbye", "ended"}
        else:
            with cluster.network.refusing("a"):
                cluster.network.cut("a")
                await cluster.until(lambda: bool(seen))
            assert seen[0].reason == "silent"
            assert 19 <= cluster.loop.time() - start <= 25

    simulate(scenario)


def test_an_exit_certificate_kills_the_node_at_once_everywhere() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b, c = await cluster.join("a", "b", "c")
        cluster.network.partition("c").__enter__()
        a.certify_exit("c")
        await cluster.until(lambda: all(cluster.seen(node, NodeDead) for node in "ab"), within=1)
        assert cluster.seen("b", NodeDead)[0].reason is DeathReason.EXITED
        del c, b

    simulate(scenario)


# -- broadcast ----------------------------------------------------------------------------------------------


def test_a_broadcast_reaches_listeners_everywhere_once_and_by_type() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b, c = await cluster.join("a", "b", "c")
        heard: list[str] = []

        async def on_news(news: News) -> None:
            heard.append(f"b {news.headline}")

        a.listen("news", News, lambda news: heard.append(f"a {news.headline}"))
        await b.listen("news", News, on_news).ready
        every = c.listen("news", Message, lambda message: heard.append(f"c {type(message).__name__}"))
        await every.ready
        await a.broadcast("news", News("rain"))
        await a.broadcast("news", Weather(7.5))
        await a.broadcast("sports", News("goal"))
        await cluster.until(lambda: len(heard) == 4)
        assert sorted(heard) == ["a rain", "b rain", "c News", "c Weather"]
        every.cancel()
        await b.broadcast("news", News("sun"))
        await cluster.until(lambda: len(heard) == 6)
        assert sorted(heard[4:]) == ["a sun", "b sun"]

    simulate(scenario)


def test_an_agent_listens_by_its_ref_and_on_is_a_decorator() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        log: list[str] = []
        worker = a.spawn(Worker, log, name="worker")
        await a.listen("notes", Note, worker).ready

        @a.on("notes", Note)
        def noted(note: Note) -> None:
            log.append(f"noted {note.number}")

        await b.broadcast("notes", Note(4))
        await cluster.until(lambda: len(log) == 3)
        assert sorted(log[1:]) == ["note 4", "noted 4"]
        assert callable(noted)

    simulate(scenario)


def test_listeners_are_there_again_after_a_cut_and_broadcasts_wait_for_a_connection() -> None:
    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        heard: list[str] = []
        await b.listen("news", News, lambda news: heard.append(news.headline)).ready
        cluster.network.cut("b")
        await cluster.until(lambda: len(cluster.seen("b", BusConnected)) == 2)
        cluster.network.cut("a")
        await cluster.until(lambda: bool(cluster.seen("a", BusDisconnected)))
        await a.broadcast("news", News("after the cut"))
        await cluster.until(lambda: bool(heard))
        assert heard == ["after the cut"]

    simulate(scenario)


def test_impossible_topics_are_refused() -> None:
    async def scenario(cluster: Cluster) -> None:
        (a,) = await cluster.join("a")
        for topic in ("", "x" * 300, "a\nb"):
            with pytest.raises(InvalidNameError):
                a.broadcast(topic, News("x"))
            with pytest.raises(InvalidNameError):
                a.listen(topic, News, lambda _news: None)

    simulate(scenario)
