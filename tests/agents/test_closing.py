"""What is sent while a bus closes has its end, too."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import Any, ClassVar

import pytest

from agentbus.agents import AsyncAgentActor
from agentbus.errors import BusClosedError
from agentbus.runtime import Future, virtual_sleep
from tests.agents.agents import Asker, Echo, Note, Sleep, Worker
from tests.agents.cluster import Cluster, simulate


@pytest.mark.parametrize("to", ["two/worker", "nowhere/worker"])
def test_what_is_sent_while_a_bus_closes_has_its_end(to: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        two.spawn(Worker, name="worker")
        ref = one.ref(to)
        await one.ref("two/worker").ask(Echo("x"), timeout=5)
        closing = one.close()
        sent: list[Future[Any]] = []
        while not closing.done():
            sent += [ref.ask(Echo("y")).quiet(), ref.tell(Note(1)).quiet(), ref.stop().quiet()]
            sent += [ref.stream(Echo("z")).future.quiet(), ref.pause().quiet()]
            sent += [one.broadcast("topic", Note(1)).quiet()]
            with suppress(BusClosedError):
                sent += [one.listen("topic", Note, lambda _note: None).ready.quiet()]
            await asyncio.sleep(0)
        await virtual_sleep(60)
        assert len(sent) > 8
        assert [each for each in sent if not each.done()] == []

    simulate(scenario)


def test_a_close_says_nothing_of_futures_that_nobody_looks_at(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        one.queue("here", store="memory://")
        asker = one.spawn(Asker, "two/worker", name="asker")
        two.spawn(Worker, name="worker")
        jobs = await one.queue("here").put_many([Note(1), Note(2)])
        lost: list[object] = [job.result() for job in jobs]
        for ref in (asker, one.ref("two/worker")):
            lost += [ref.ask(Sleep(60)), ref.tell(Note(1)), ref.stream(Sleep(60))]
        for queue in (one.queue("nowhere"), two.queue("here")):
            lost += [queue.put(Note(1)), queue.stats(), queue.jobs(), queue.tail()]
            lost.append(queue.schedule(Note(1), name="tick", every=60))
        lost += [one.wait_for(name="nobody"), one.broadcast("topic", Note(1))]
        await virtual_sleep(1)
        await one.close()
        await two.close()

    simulate(scenario)
    gc.collect()
    assert caplog.text == ""


def test_what_is_sent_behind_the_last_word_of_a_node_has_its_end() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        two.spawn(Worker, name="worker")
        await one.ref("two/worker").ask(Echo("x"), timeout=5)
        late: list[Future[Any]] = []

        def send_late() -> None:
            late.extend([one.ref("two/worker").ask(Echo("y")).quiet(), one.wait_for(name="nobody").quiet()])
            late.extend([one.broadcast("topic", Note(1)).quiet()])
            late.extend([one.listen("topic", Note, lambda _note: None).ready.quiet()])

        node_ended = one._node.ended  # pyright: ignore[reportPrivateUsage]  # the bus's own comes later
        node_ended.add_done_callback(lambda _ended: cluster.loop.call_soon(send_late))
        await one.close()
        await virtual_sleep(1)
        assert [type(each.exception()) for each in late if each.done()] == [BusClosedError] * 4

    simulate(scenario)


class Tidy(AsyncAgentActor):
    tidied: ClassVar[list[str]] = []

    async def on_stop(self) -> None:
        await virtual_sleep(1.0)
        self.tidied.append(self.name)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_bus_that_closes_waits_for_what_its_agents_do_at_their_end(replicas: int) -> None:
    async def scenario(cluster: Cluster) -> None:
        Tidy.tidied.clear()
        (one,) = await cluster.join("one")
        ref = one.spawn(Tidy, name="tidy", replicas=replicas)
        stopping = [ref.stop().quiet(), ref.stop().quiet()]
        await one.close()
        assert len(Tidy.tidied) == replicas
        assert all(each.done() for each in stopping)

    simulate(scenario)
