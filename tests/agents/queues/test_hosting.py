"""A queue from end to end: hosted on one node, used from any, claimed by one."""

from __future__ import annotations

import pytest

from agentbus import AsyncAgentActor, Bus, handles
from agentbus.agents.events import AgentFailure, NodeDead, QueueHostEnded
from agentbus.agents.queues.core.job import QueueStats
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.messages import Attach, GetStats
from agentbus.agents.queues.names import CAPABILITY, agent_name, query_for
from agentbus.errors import (
    AgentBusError,
    AgentFailed,
    AgentRestarted,
    AgentStopped,
    BodyTooLargeError,
    BusClosedError,
    InvalidNameError,
    MailboxFullError,
    NotTrustedError,
    OutcomeUnknownError,
    QueueFencedError,
    QueueOptionsError,
    QueueTakenError,
    StoreError,
)
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.queues.faulty_store import FaultyStore, state_of
from tests.agents.queues.workers import Answer, Double, Hand, Note, Question, serve


def test_a_job_goes_from_a_handle_through_a_worker_to_its_result() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        queue = bus.queue("tasks", store="memory://")
        await queue.ready
        ref = await queue.put(Double(21))
        await serve(Hand(bus, "one"), lambda message: 2 * message.number, 1)
        assert await ref.result() == 42

    simulate(scenario)


def test_another_node_puts_and_waits_before_there_is_a_host() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        put = two.queue("tasks").put(Question("why"))
        await one.queue("tasks", store="memory://").ready
        ref = await put
        await serve(Hand(two, "one"), lambda message: Answer(f"{message.text}? because"), 1)
        assert await ref.result() == Answer("why? because")

    simulate(scenario)


# -- one host at a time --------------------------------------------------------------------------------------


def test_one_bus_has_one_host_of_a_queue_however_often_it_is_asked_for() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        first, second = bus.queue("tasks", store=store), bus.queue("tasks", store="memory://")
        await first.ready
        await second.ready
        assert (await second.stats()).store == "faulty://"
        assert store.epoch == 1

    simulate(scenario)


def test_a_second_host_is_refused_and_the_first_goes_on() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        await one.queue("tasks", store="memory://").ready
        await cluster.until(lambda: bool(two.find(capability="agentbus.queue")))
        refused = two.queue("tasks", store="memory://")
        with pytest.raises(QueueTakenError) as caught:
            await refused.ready
        assert caught.value.holder == "default/one/queue.tasks"
        with pytest.raises(QueueTakenError):
            await refused.put(Double(1))
        assert await two.queue("tasks").put(Double(1))

    simulate(scenario)


def test_of_two_hosts_that_start_at_once_one_stays() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        queues = [bus.queue("tasks", store="memory://") for bus in (one, two)]
        await cluster.until(lambda: any(queue.ended.done() for queue in queues))
        ended, staying = sorted(queues, key=lambda queue: not queue.ended.done())
        with pytest.raises(QueueTakenError):
            await ended.ended
        assert not staying.ended.done()
        assert [bus.find(capability="agentbus.queue") for bus in (one, two)] == [
            [two.ref("queue.tasks")],
            [two.ref("queue.tasks")],
        ]
        assert len(cluster.seen("one", QueueHostEnded)) == 1
        assert await ended.put(Double(1)), "a handle goes on with the host that stays"

    simulate(scenario)


def test_a_host_whose_store_was_claimed_by_another_process_ends_and_says_so() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        queue = bus.queue("tasks", store=store)
        await queue.ready
        store.fence()
        put = queue.put(Double(1))
        with pytest.raises(QueueFencedError):
            await queue.ended
        assert store.closed
        assert cluster.seen("one", QueueHostEnded)[0].queue == "tasks"
        assert bus.find(capability="agentbus.queue") == []
        bus.queue("tasks", store="memory://")
        assert (await put).id, "what was never answered is put to the successor"

    simulate(scenario)


def test_after_its_end_a_queue_can_be_opened_again_and_has_what_its_store_has() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        store = FaultyStore()
        queue = one.queue("tasks", store=store)
        ref = await queue.put(Double(4))
        await queue.close()
        assert store.closed
        result = two.queue("tasks").job(ref.id).result()
        again = one.queue("tasks", store=store)
        await again.ready
        assert store.epoch == 2
        await serve(Hand(two, "one"), lambda message: message.number, 1)
        assert await result == 4

    simulate(scenario)


def test_a_store_that_cannot_be_opened_is_told_to_who_wanted_to_host() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        store.open_error = StoreError("no such folder")
        queue = bus.queue("tasks", store=store)
        with pytest.raises(StoreError, match="no such folder"):
            await queue.ready
        with pytest.raises(StoreError, match="no such folder"):
            await queue.put(Double(1))
        store.open_error = None
        again = bus.queue("tasks", store=store)
        assert await again.put(Double(1))

    simulate(scenario)


def test_a_queue_agent_that_fails_is_restarted_with_a_new_claim_to_the_same_store() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        store = FaultyStore()
        queue = one.queue("tasks", store=store)
        ref = await two.queue("tasks").put(Double(3))
        result = ref.result()
        crash = await queue.put(Note("its end will be asked for"))
        hand = Hand(two, "one")
        await hand.attach(2)
        jobs = [await hand.leased.get() for _ in range(2)]
        await hand.ack(jobs[1])
        store.error = ZeroDivisionError("a mistake of ours")
        end = crash.result()
        await cluster.until(lambda: state_of(end) != "waiting")
        store.error = None
        await cluster.until(lambda: store.epoch == 2)
        await hand.attach(2, holding=(jobs[0].token,))
        await hand.ack(jobs[0], 6)
        assert await result == 6
        assert [each.entry.metadata["epoch"] for each in two.sightings(query_for("tasks"))] == [2]

    simulate(scenario)


def test_a_mistake_beside_the_messages_restarts_the_agent_with_what_its_store_has() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        queue = bus.queue("tasks", store=store)
        await queue.ready
        store.error = ZeroDivisionError("a mistake of ours")
        put = queue.put(Double(1))
        await cluster.until(lambda: store.epoch == 2)
        store.error = None
        again = await put  # its handle says it again to the next life
        assert [job.id for job in (await queue.jobs()).jobs] == [again.id]
        assert "ZeroDivisionError" in cluster.seen("one", AgentFailure)[0].error

    simulate(scenario)


def test_an_agent_that_fails_too_often_ends_the_hosting() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        queue = bus.queue("tasks", store=store)
        await queue.ready
        store.error = ZeroDivisionError("a mistake of ours")
        put = queue.put(Double(1))
        with pytest.raises(AgentStopped):
            await queue.ended
        assert store.closed
        assert state_of(put) == "waiting"
        assert cluster.seen("one", QueueHostEnded)
        store.error = None
        again = bus.queue("tasks", store=store)
        assert await put == again.job((await put).id)

    simulate(scenario)


def test_who_wants_to_host_after_a_crash_waits_until_the_last_host_is_known_to_be_dead() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        await one.queue("tasks", store="memory://").ready
        await cluster.until(lambda: bool(two.find(capability="agentbus.queue")))
        with cluster.network.refusing("one"):
            cluster.network.cut("one")
            queue = two.queue("tasks", store="memory://")
            await virtual_sleep(5)
            assert state_of(queue.ready) == "waiting"
            await queue.ready
            assert cluster.seen("two", NodeDead)
            assert await queue.put(Double(1))

    simulate(scenario)


def test_a_host_that_comes_back_to_find_a_successor_ends() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        first = one.queue("tasks", store="memory://")
        await first.ready
        store = FaultyStore()
        store.open("an earlier life")
        with cluster.network.refusing("one"):
            cluster.network.cut("one")
            await two.queue("tasks", store=store).ready
        with pytest.raises(QueueTakenError):
            await first.ended
        assert await first.put(Double(1)), "its handles go on with the successor"

    simulate(scenario)


def test_a_hub_restart_loses_neither_a_lease_nor_a_waiting_call() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        queue = one.queue("tasks", store="memory://")
        ref = await two.queue("tasks").put(Double(1))
        result = ref.result()
        hand = Hand(two, "one")
        await hand.attach(1)
        job = await hand.leased.get()
        cluster.network.cut()
        cluster.start_hub()
        assert (await hand.ack(job, 2)).refused == ()
        assert await result == 2
        assert (await queue.stats()).redelivered == 0

    simulate(scenario)


# -- who may, and the end ------------------------------------------------------------------------------------


def test_a_guest_can_neither_find_a_queue_nor_ask_its_host_for_anything() -> None:
    async def scenario(cluster: Cluster) -> None:
        host = cluster.make("one", token=cluster.token("one"), trust="tokens")
        guest = cluster.make("two", token=cluster.token("two", node=False), trust="tokens")
        await host.start()
        await guest.start()
        await host.queue("tasks", store="memory://").ready
        put = guest.queue("tasks").put(Double(1), timeout=30)
        with pytest.raises(NotTrustedError):
            await guest.ref(f"one/{agent_name('tasks')}").ask(GetStats(), timeout=10)
        await cluster.until(lambda: state_of(put) == "AskTimeoutError")

    simulate(scenario)


def test_a_closed_bus_closes_the_store_last_and_hosts_nothing_more() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        queue = bus.queue("tasks", store=store)
        await queue.ready
        await bus.close()
        assert store.closed
        assert queue.ended.done()
        with pytest.raises(BusClosedError):
            bus.queue("tasks", store="memory://")
        with pytest.raises(BusClosedError):
            await queue.put(Double(1))

    simulate(scenario)


class Slow(AsyncAgentActor):
    @handles
    async def double(self, message: Double) -> int:
        await virtual_sleep(10)
        await self.bus.queue("tasks").put(Note("put on the way out"))
        return 2 * message.number


def test_a_drain_lets_workers_ack_before_the_queue_ends() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        ref = await bus.queue("tasks", store=store).put(Double(4))
        bus.spawn(Slow, queue="tasks")
        await virtual_sleep(5)
        assert await bus.drain(timeout=60)
        assert store.closed
        (later,) = await cluster.join("later")
        queue = later.queue("tasks", store=store)
        assert await queue.job(ref.id).result() == 8
        assert [job.type for job in (await queue.jobs()).jobs] == [Note.__wire_name__]

    simulate(scenario)


def test_a_queue_whose_store_cannot_be_written_ends_all_the_same() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        queue = bus.queue("tasks", store=store)
        await queue.ready
        store.hold()
        put = queue.put(Double(1))
        await virtual_sleep(1)
        await queue.close()
        assert (store.closed, state_of(put)) == (True, "waiting")

    simulate(scenario)


def test_names_and_stores_that_make_no_sense_are_refused_at_once() -> None:
    bus = Bus()
    with pytest.raises(InvalidNameError):
        bus.queue("")
    with pytest.raises(InvalidNameError):
        bus.queue("x" * 100)
    for url in (
        "redis://localhost/secret",
        "postgres://me:secret@host/db?password=secret",
        "secret",
        "sqlite:///",
    ):
        with pytest.raises(ValueError, match="memory:// or sqlite") as caught:
            bus.queue("tasks", store=url)
        assert "secret" not in str(caught.value)
    with pytest.raises(ValueError, match="no parameters") as caught:
        bus.queue("tasks", store="sqlite:///jobs.db?key=secret")
    assert "secret" not in str(caught.value)


# -- what is asked of another host, and what workers say -----------------------------------------------------


class Moody(AsyncAgentActor):
    """Stands for another node's host, which answers as the test says."""

    capabilities = (CAPABILITY,)

    def __init__(self, errors: list[Exception]) -> None:
        self.errors = errors

    @handles(raises=(AgentBusError,))
    async def stats(self, _message: GetStats) -> QueueStats:
        if self.errors:
            raise self.errors.pop(0)
        return QueueStats("tasks")


@pytest.mark.parametrize("error", [AgentFailed("ZeroDivisionError"), AgentRestarted("just now")])
def test_a_host_whose_agent_has_just_failed_is_one_all_the_same(error: Exception) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        one.spawn(Moody, [error], name="queue.tasks", metadata={"queue": "tasks", "epoch": 1})
        await cluster.until(lambda: bool(two.find(capability=CAPABILITY)))
        with pytest.raises(QueueTakenError):
            await two.queue("tasks", store="memory://").ready

    simulate(scenario)


@pytest.mark.parametrize("error", [MailboxFullError(10), OutcomeUnknownError("lost")])
def test_an_answer_that_says_nothing_of_a_host_is_asked_for_again_after_a_pause(error: Exception) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        errors = [error] * 20
        one.spawn(Moody, errors, name="queue.tasks", metadata={"queue": "tasks", "epoch": 1})
        await cluster.until(lambda: bool(two.find(capability=CAPABILITY)))
        began = cluster.loop.time()
        queue = two.queue("tasks", store="memory://")
        with pytest.raises(QueueTakenError):
            await queue.ready
        assert cluster.loop.time() - began >= 20 * 0.5
        assert errors == []

    simulate(scenario)


def test_a_worker_whose_address_is_none_is_refused_and_the_queue_goes_on() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        queue = one.queue("tasks", store="memory://")
        ref = await queue.put(Double(1))
        for address in ("a/b/c/d", "", "x" * 1000, "\x00"):
            with pytest.raises(AgentFailed, match="not a valid"):
                await two.ref("one/queue.tasks").ask(Attach(address, "s", 10))
        await serve(Hand(two, "one"), lambda message: message.number, 1)
        assert await ref.result() == 1
        assert not cluster.seen("one", AgentFailure)

    simulate(scenario)


def test_no_lease_runs_out_before_a_host_has_joined_its_bus() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        assert bus.joined
        cluster.network.cut("one")
        with cluster.network.refusing("one"):
            await cluster.until(lambda: not bus.joined)
            store = FaultyStore()
            queue = bus.queue("tasks", store=store, options=QueueOptions(lease=30.0))
            ref = await queue.put(Double(1))
            hand = Hand(bus, "one")
            await hand.attach(1)
            job = await hand.leased.get()
            await virtual_sleep(200)
            assert (await hand.ack(job, 1)).refused == ()
        assert await ref.result() == 1

    simulate(scenario)


def test_options_that_a_hosted_queue_has_not_are_refused() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        options = QueueOptions(max_attempts=2)
        queue = bus.queue("tasks", store="memory://", options=options)
        bus.queue("tasks", store="memory://", options=QueueOptions(max_attempts=2))
        bus.queue("tasks", store="memory://")
        with pytest.raises(QueueOptionsError) as caught:
            bus.queue("tasks", store="memory://", options=QueueOptions(max_attempts=3))
        assert caught.value.option == "max_attempts"
        await queue.close()
        await bus.queue("tasks", store="memory://", options=QueueOptions(max_attempts=3)).ready

    simulate(scenario)


def test_a_host_that_was_overtaken_does_not_wait_for_a_batch_that_nobody_writes() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        store = FaultyStore()
        queue = bus.queue("tasks", store=store)
        await queue.ready
        store.fence()
        began = cluster.loop.time()
        queue.put(Double(1))
        with pytest.raises(QueueFencedError):
            await queue.ended
        assert cluster.loop.time() - began < 1

    simulate(scenario)


def test_a_job_of_this_node_that_no_other_could_be_told_is_refused() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        queue = bus.queue("tasks", store="memory://")
        with pytest.raises(BodyTooLargeError):
            await queue.put(Note("x" * (8 << 20)))
        assert await queue.put(Note("x" * (7 << 20)))

    simulate(scenario)
