"""Why a queue does not answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from agentbus import AskTimeoutError, AsyncAgentActor, BusDisconnected, GetWorker, handles
from agentbus.agents.queues.absence import Outlook, listed, why_silent
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.queues.workers import Double

CLEAR = Outlook("ws://hub:1", joined=True, guest=False, namespace="prod", queues=("images", "tasks"))


@pytest.mark.parametrize(
    ("queue", "changes", "words"),
    [
        ("tasks", {"joined": False}, "there is no connection to the hub ws://hub:1"),
        ("tasks", {"guest": True}, "`agentbus token PEER --node --namespace prod` signs one that is"),
        ("tasks", {}, "its host does not answer"),
        ("taskz", {}, "'taskz' in namespace 'prod'; is 'tasks' meant? There are: images, tasks"),
        ("orders", {}, "nobody hosts a queue 'orders' in namespace 'prod'; there are: images, tasks"),
        ("tasks", {"queues": ()}, "nobody hosts a queue 'tasks' in namespace 'prod'; there are: none"),
    ],
)
def test_it_is_said_what_stands_in_the_way(queue: str, changes: dict[str, Any], words: str) -> None:
    assert words in why_silent(queue, msgspec.structs.replace(CLEAR, **changes))


def test_a_row_of_names_has_a_bound() -> None:
    assert listed([str(number) for number in range(12)]).endswith("8, 9 and 2 more")


class Doubler(AsyncAgentActor):
    @handles
    async def double(self, message: Double) -> int:
        return 2 * message.number


def test_calls_that_ran_out_of_time_say_why() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        await one.queue("tasks", store="memory://").ready
        typo = two.queue("task")
        for call in (typo.put(Double(1), timeout=5), typo.stats(timeout=5)):
            with pytest.raises(
                AskTimeoutError, match=r"queue 'task' did not answer in time: .* is 'tasks' meant"
            ):
                await call

    simulate(scenario)


def test_a_guest_is_told_that_it_is_one() -> None:
    async def scenario(cluster: Cluster) -> None:
        host = cluster.make("one", token=cluster.token("one"), trust="tokens")
        guest = cluster.make("two", token=cluster.token("two", node=False), trust="tokens")
        await host.start()
        await guest.start()
        await host.queue("tasks", store="memory://").ready
        with pytest.raises(
            AskTimeoutError, match="queues are for nodes of namespace 'default', and this bus's"
        ):
            await guest.queue("tasks").put(Double(1), timeout=5)

    simulate(scenario)


def test_a_worker_without_a_host_tells_a_lost_hub_from_a_wrong_name() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        await one.queue("tasks", store="memory://").ready
        worker, wrong = two.spawn(Doubler, queue="tasks"), two.spawn(Doubler, queue="orders")
        await virtual_sleep(1)
        assert (await worker.ask(GetWorker())).missing == ""
        assert (await wrong.ask(GetWorker())).missing.startswith("nobody hosts a queue 'orders'")
        assert cluster.network.cut("two")
        await cluster.until(lambda: bool(cluster.seen("two", BusDisconnected)))
        assert (await wrong.ask(GetWorker())).missing.startswith("there is no connection to the hub ws://")

    simulate(scenario)
