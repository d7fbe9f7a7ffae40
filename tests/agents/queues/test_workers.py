"""Workers on virtual time, with a host that does what the test says."""

from __future__ import annotations

import gc
from typing import Any

import msgspec
import pytest

from agentbus.agents.bus import Bus
from agentbus.agents.events import AgentFailure, AgentProgress, AgentRestarting, AgentStalled
from agentbus.agents.queues.core.job import Effect, LeasedJob
from agentbus.agents.queues.holding import KILL_GRACE
from agentbus.agents.queues.messages import Leased, Revoked, Settlement
from agentbus.agents.queues.puller_messages import DrainWorker, GetWorker
from agentbus.agents.queues.worker_events import (
    JobAttemptFailed,
    JobHandedBack,
    JobHandlerStuck,
    JobLeaseLost,
    QueueAttached,
    QueueOutOfReach,
)
from agentbus.agents.ref import AgentRef
from agentbus.errors import AgentError
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster, simulate
from tests.agents.queues.fake_queue import LEASE, Book, host
from tests.agents.queues.worker_agents import (
    Charge,
    Child,
    Double,
    Hold,
    Mark,
    Nap,
    SyncWorker,
    Trouble,
    Unknown,
    Worker,
)


class Scene:
    """A host on one node, a worker on another, and what both have noted."""

    def __init__(self, cluster: Cluster, here: Bus, there: Bus) -> None:
        self.cluster = cluster
        self.here = here
        self.there = there
        self.book = Book()
        self.log: list[str] = []
        self.host = host(here, self.book)

    @classmethod
    async def set(cls, cluster: Cluster) -> Scene:
        here, there = await cluster.join("here", "there")
        return cls(cluster, here, there)

    def work(self, concurrency: int = 2, cls: type[Any] = Worker, **options: Any) -> AgentRef:
        arguments = (self.log,) if cls is Worker else ()
        return self.there.spawn(cls, *arguments, queue="q", concurrency=concurrency, name="w", **options)

    async def settled(self, count: int, within: float = 60.0) -> list[Settlement]:
        await self.cluster.until(lambda: len(self.book.settled) >= count, within)
        return self.book.settled

    def put(self, message: Any, **fields: Any) -> str:
        token = self.book.add(message, **fields)
        self.host.steer(None)
        return token


# -- what becomes of a job ----------------------------------------------------------------------------------


def test_a_worker_takes_jobs_and_acks_them_with_their_values() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        book = scene.book
        tokens = [book.add(Double(number)) for number in range(5)]
        scene.work()
        await scene.settled(5)
        assert book.outcomes == [(token, "ack") for token in tokens]
        assert [book.value(token) for token in tokens] == [0, 2, 4, 6, 8]
        assert scene.log[0] == "job-1 1 key-1"
        assert book.attached[0].capacity == 2
        assert cluster.seen("there", QueueAttached) == [QueueAttached("default/there/w", "q", 1)]

    simulate(scenario)


def test_jobs_of_one_turn_are_settled_together() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        for number in range(100):
            scene.book.add(Double(number))
        scene.work(concurrency=50)
        await scene.settled(100)
        assert len(scene.book.batches) <= 10

    simulate(scenario)


def test_an_exception_is_the_failure_of_the_job_and_not_of_the_agent() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        for how in ("error", "retry", "reject", "unprintable"):
            scene.book.add(Trouble(how))
        scene.work(concurrency=1)
        error, retry, reject, unprintable = await scene.settled(4)
        assert (error.outcome, error.retry_in) == ("fail", None)
        assert error.failure is not None
        assert error.failure.fields["error_type"] == "ValueError"
        assert "in trouble" in error.traceback
        assert (retry.outcome, retry.retry_in) == ("fail", 30.0)
        assert reject.outcome == "reject"
        assert reject.failure is not None
        assert reject.failure.text == "never"
        assert unprintable.outcome == "fail"
        assert not cluster.seen("there", AgentFailure)
        failures = cluster.seen("there", JobAttemptFailed)
        assert [each.error for each in failures[:3]] == [
            "ValueError: broken",
            "Retry: later",
            "Reject: never",
        ]
        assert scene.put(Double(1)) in {each.token for each in await scene.settled(5)}

    simulate(scenario)


def test_a_message_that_a_worker_does_not_know_is_a_dead_letter_and_leaves_it_alone() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.add(Unknown())
        scene.book.add(Double(4))
        scene.work()
        unknown, known = await scene.settled(2)
        assert (unknown.outcome, known.outcome) == ("reject", "ack"), "no further attempt would help"
        assert unknown.failure is not None
        assert unknown.failure.kind == "UnhandledMessageError"

    simulate(scenario)


def test_jobs_put_by_a_handler_travel_with_its_ack_or_not_at_all() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.add(Child(), tenant="acme")
        scene.book.add(Child(fail=True))
        scene.work(concurrency=1)
        good, bad = await scene.settled(2)
        (job,) = good.jobs
        assert (job.id, job.type, job.tenant) == ("job-1.1", "workers.Double", "acme")
        assert bad.jobs == ()

    simulate(scenario)


def test_a_job_is_known_to_its_handler_only() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        worker = scene.there.spawn(Worker, scene.log)
        with pytest.raises(AgentError, match="there is no job here"):
            await worker.ask(Double(1))

    simulate(scenario)


# -- leases -------------------------------------------------------------------------------------------------


def test_a_two_hour_job_is_renewed_and_runs_once() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        token = scene.book.add(Nap(7200.0))
        scene.work()
        await scene.settled(1, within=7300.0)
        assert scene.log == ["begun", "slept"]
        renewals = [each for each in scene.book.attached if token in each.holding]
        assert len(renewals) >= 7200 / LEASE * 2
        assert all(not each.stalled for each in renewals)

    simulate(scenario)


def test_a_handler_that_marks_no_progress_is_not_renewed() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        silent, busy = scene.book.add(Nap(50.0)), scene.book.add(Nap(50.0, marks=True))
        scene.work(stall_timeout=15.0)
        await scene.settled(2, within=100.0)
        stalled = {token for each in scene.book.attached for token in each.stalled}
        assert stalled == {silent}
        said = [progress for each in scene.book.attached for progress in each.progress]
        assert {each.token for each in said} == {busy}
        assert len(said) > 20
        assert cluster.seen("there", AgentStalled)

    simulate(scenario)


def test_a_revoked_job_is_cancelled_where_it_runs() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        token = scene.book.add(Hold())
        scene.work()
        await cluster.until(lambda: token in scene.book.leased)
        await virtual_sleep(1.0)
        scene.host.steer(token)
        await cluster.until(lambda: bool(scene.book.refused))
        assert scene.log == ["cancelled"]
        assert [each.outcome for each in scene.book.refused] == ["cancel"]

    simulate(scenario)


def test_a_lost_lease_cancels_the_handler_and_its_ack_does_not_count() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.add(Hold())
        scene.work()
        await cluster.until(lambda: bool(scene.book.leased))
        scene.book.leased.clear()
        await cluster.until(lambda: scene.log == ["cancelled"], within=LEASE)
        (lost,) = cluster.seen("there", JobLeaseLost)
        assert (lost.job_id, lost.queue, lost.attempt) == ("job-1", "q", 1)
        await virtual_sleep(LEASE)
        assert scene.book.settled == []
        assert scene.book.attached[-1].holding == ()

    simulate(scenario)


def test_an_ack_that_comes_after_the_lease_is_refused_and_told() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.add(Nap(5.0))
        scene.work()
        await cluster.until(lambda: bool(scene.book.leased))
        scene.book.leased.clear()
        await cluster.until(lambda: bool(scene.book.refused))
        await cluster.until(lambda: bool(cluster.seen("there", JobLeaseLost)))

    simulate(scenario)


# -- the host's life ----------------------------------------------------------------------------------------


def test_a_worker_waits_for_a_host_and_finds_its_successor() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there, elsewhere = await cluster.join("here", "there", "elsewhere")
        book, log = Book(), list[str]()
        there.spawn(Worker, log, queue="q", name="w")
        await virtual_sleep(100.0)
        first = host(here, book)
        book.add(Nap(30.0))
        await cluster.until(lambda: log == ["begun"])
        await first.stop(now=True)
        await virtual_sleep(20.0)
        assert cluster.seen("there", QueueOutOfReach)
        host(elsewhere, book, epoch=2)
        await cluster.until(lambda: len(book.settled) == 1)
        assert log == ["begun", "slept"], "the job went on, and its ack went to the successor"
        assert [each.epoch for each in cluster.seen("there", QueueAttached)] == [1, 2]

    simulate(scenario)


def test_a_settlement_that_nobody_answers_is_said_again() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.refusals = 3
        scene.book.add(Double(3))
        scene.work()
        await scene.settled(1)
        assert scene.book.refusals == 0
        assert scene.book.outcomes == [("token-1", "ack")]

    simulate(scenario)


def test_work_goes_on_over_a_cut_and_the_ack_arrives_after_it() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.add(Nap(10.0))
        scene.work()
        await cluster.until(lambda: scene.log == ["begun"])
        with cluster.network.partition("there"):
            await virtual_sleep(15.0)
            assert scene.log == ["begun", "slept"]
        await scene.settled(1)
        assert scene.book.outcomes == [("token-1", "ack")]

    simulate(scenario)


# -- limits -------------------------------------------------------------------------------------------------


def test_at_the_soft_limit_a_handler_is_cancelled_and_the_attempt_fails() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.add(Hold(), soft_timeout=5.0)
        scene.work()
        (settlement,) = await scene.settled(1)
        assert settlement.outcome == "fail"
        assert settlement.failure is not None
        assert settlement.failure.kind == "JobTimeoutError"
        assert scene.log == ["cancelled"]

    simulate(scenario)


def test_at_the_hard_limit_the_attempt_is_over_and_the_slot_comes_back_with_its_handler() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.add(Hold(stubborn=20.0), hard_timeout=5.0)
        scene.work(concurrency=1)
        await scene.settled(1, within=6.0)
        token = scene.put(Double(1))
        await virtual_sleep(10.0)
        assert token not in scene.book.leased, "the only slot is busy"
        await scene.settled(2, within=20.0)
        assert scene.book.outcomes == [("token-1", "fail"), (token, "ack")]

    simulate(scenario)


# -- effects ------------------------------------------------------------------------------------------------


def test_an_effect_is_recorded_before_and_after_and_not_repeated() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        token = scene.book.add(Charge(crash="after"))
        scene.work()
        (failed,) = await scene.settled(1)
        assert failed.outcome == "fail"
        recorded = scene.book.effects[token]
        assert [each.done for each in recorded] == [False, True]
        again = scene.put(Charge(), attempt=2, effects=tuple(recorded[1:]))
        await scene.settled(2)
        assert scene.book.value(again) == {"receipt": 7}
        assert scene.log == ["charged"]

    simulate(scenario)


def test_an_effect_that_was_begun_is_in_doubt_until_the_handler_says_what_to_do() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        begun = (Effect("charge"),)
        scene.book.add(Charge(), attempt=2, effects=begun)
        scene.book.add(Charge(retry=True), attempt=2, effects=begun)
        scene.work(concurrency=1)
        doubt, done = await scene.settled(2)
        assert doubt.failure is not None
        assert doubt.failure.kind == "EffectInDoubtError"
        assert doubt.outcome == "reject", "it is in doubt in every further attempt, too"
        assert done.outcome == "ack"
        assert scene.log == ["charged in doubt"]

    simulate(scenario)


def test_an_effect_is_not_done_once_the_lease_is_lost() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        token = scene.book.add(Charge())
        real = scene.book.leased

        class Forgetful(dict[str, Any]):
            def __contains__(self, key: object) -> bool:
                return False

        scene.book.leased = Forgetful(real)
        scene.work()
        await cluster.until(lambda: bool(cluster.seen("there", JobAttemptFailed)))
        assert scene.log == []
        assert token not in scene.book.effects

    simulate(scenario)


# -- the end ------------------------------------------------------------------------------------------------


def test_a_drained_worker_finishes_and_takes_nothing_new() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.add(Nap(10.0))
        worker = scene.work()
        await cluster.until(lambda: scene.log == ["begun"])
        drained = worker.ask(DrainWorker())
        await virtual_sleep(1.0)
        late = scene.put(Double(1))
        assert (await worker.ask(GetWorker())).draining
        assert await drained is True
        assert scene.book.outcomes == [("token-1", "ack")]
        assert late not in scene.book.leased

    simulate(scenario)


def test_a_drain_hands_back_what_takes_too_long() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.add(Hold())
        scene.book.add(Hold(stubborn=100.0))
        worker = scene.work(drain_timeout=5.0)
        await cluster.until(lambda: len(scene.book.leased) == 2)
        await virtual_sleep(1.0)
        assert await worker.ask(DrainWorker()) is False
        assert sorted(scene.book.outcomes) == [("token-1", "release"), ("token-2", "release")]
        assert len(cluster.seen("there", JobHandedBack)) == 2

    simulate(scenario)


@pytest.mark.parametrize("how", ["close", "drain", "stop"])
def test_the_end_of_a_bus_or_a_worker_leaves_no_job_to_its_lease(how: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.add(Nap(5.0))
        worker = scene.work()
        await cluster.until(lambda: scene.log == ["begun"])
        if how == "close":
            await scene.there.close()
        elif how == "drain":
            await scene.there.drain(timeout=20.0)
        else:
            await worker.stop()
        assert scene.book.outcomes == [("token-1", "release" if how == "close" else "ack")]

    simulate(scenario)


# -- other kinds of worker ----------------------------------------------------------------------------------


def test_a_sync_worker_is_one_agent_for_each_job_at_a_time() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        tokens = [scene.book.add(Double(number)) for number in range(6)]
        scene.work(concurrency=3, cls=SyncWorker)
        await scene.settled(6)
        assert [scene.book.value(token) for token in tokens] == [0, 2, 4, 6, 8, 10]
        assert scene.book.attached[0].capacity == 3
        (group,) = scene.there.find(name="w.job")
        assert group.is_local

    simulate(scenario)


def test_a_replica_that_fails_outside_its_jobs_is_restarted_and_its_jobs_are_tried_again() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.add(Hold())
        scene.work()
        await cluster.until(lambda: bool(scene.book.leased))
        await virtual_sleep(1.0)
        scene.there.ref_to("w.job").tell(Trouble())
        (settlement,) = await scene.settled(1)
        assert (settlement.outcome, settlement.retry_in) == ("fail", 0.0)
        assert cluster.seen("there", AgentRestarting)
        assert scene.put(Double(2)) in {each.token for each in await scene.settled(2)}

    simulate(scenario)


def test_options_that_make_no_sense_are_refused_at_once() -> None:
    with Bus() as bus:
        with pytest.raises(ValueError, match="no replicas="):
            bus.spawn(Worker, queue="q", replicas=2)
        with pytest.raises(ValueError, match="at least 1"):
            bus.spawn(Worker, queue="q", concurrency=0)
        with pytest.raises(ValueError, match="not empty"):
            bus.spawn(Worker, queue="")
        with pytest.raises(ValueError, match="0 seconds or more"):
            bus.spawn(Worker, queue="q", drain_timeout=-1.0)
        with pytest.raises(ValueError, match="one thread"):
            bus.spawn(SyncWorker, concurrency=2)
        assert bus.find() == []


def test_a_job_that_is_revoked_before_its_handler_begins_leaves_its_slot_and_no_coroutine() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.work(concurrency=1)
        await cluster.until(lambda: bool(scene.book.attached))
        await virtual_sleep(1.0)
        worker, attach = next(iter(scene.book.workers.items()))
        job = LeasedJob("j", "t", "workers.Hold", 1, msgspec.Raw(b"{}"), 1, "k", LEASE)
        ref = scene.here.ref(worker)
        ref.tell(Leased(attach.session, 1, (job,)))
        ref.tell(Revoked(attach.session, ("t",)))
        await virtual_sleep(1.0)
        gc.collect()
        token = scene.put(Double(1))
        assert [each.token for each in await scene.settled(1)] == [token]

    simulate(scenario)


def test_a_note_of_half_characters_is_progress_like_any_other() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.add(Mark("file !"))
        scene.work()
        (settlement,) = await scene.settled(1)
        assert settlement.outcome == "ack"
        notes = [each.note for attach in scene.book.attached for each in attach.progress]
        assert notes == ["file ?"]
        assert cluster.seen("there", AgentProgress)[0].note == "file ?"
        assert not cluster.seen("there", AgentFailure)

    simulate(scenario)


def test_a_handler_that_nothing_can_end_is_told_of_and_counted_until_it_ends() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        scene.book.add(Hold(stubborn=60.0), hard_timeout=5.0)
        worker = scene.work(concurrency=1)
        await virtual_sleep(5.0 + KILL_GRACE - 1)
        assert not cluster.seen("there", JobHandlerStuck)
        await virtual_sleep(2.0)
        assert cluster.seen("there", JobHandlerStuck) == [JobHandlerStuck("default/there/w", "q", "job-1", 1)]
        assert (await worker.ask(GetWorker())).stuck == 1
        await virtual_sleep(60.0)
        assert (await worker.ask(GetWorker())).stuck == 0
        assert len(cluster.seen("there", JobHandlerStuck)) == 1

    simulate(scenario)


def test_a_worker_without_a_hub_says_that_it_is_not_attached_unless_its_queue_is_here() -> None:
    async def scenario(cluster: Cluster) -> None:
        scene = await Scene.set(cluster)
        away = scene.work()
        here = scene.here.spawn(Worker, [], queue="q", name="near")
        await cluster.until(lambda: len(scene.book.workers) == 2)
        await virtual_sleep(1.0)
        assert (await away.ask(GetWorker())).attached
        cluster.network.cut()
        with cluster.network.refusing("here"), cluster.network.refusing("there"):
            await virtual_sleep(1.0)
            assert not (await away.ask(GetWorker())).attached
            assert (await here.ask(GetWorker())).attached

    simulate(scenario)
