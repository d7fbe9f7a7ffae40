"""The rules of the puller, on a clock that the test moves."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentbus.agents.queues.core.job import LeasedJob
from agentbus.agents.queues.holding import (
    HAND_BACK_GRACE,
    KILL_GRACE,
    PATIENCE,
    Ended,
    Kill,
    Lost,
    Order,
    Start,
    Stop,
)
from agentbus.agents.queues.messages import Attach, Attached, Leased, Revoked, Settlement
from agentbus.agents.queues.puller_core import PullerCore
from agentbus.agents.queues.unsettled import MAX_BATCH, Unsettled

LEASE = 60.0


def leased_job(token: str, **fields: Any) -> LeasedJob:
    known: dict[str, Any] = {
        "type": "T",
        "version": 1,
        "body": msgspec.Raw(b"{}"),
        "attempt": 1,
        "lease": LEASE,
    }
    return LeasedJob(id=f"id-{token}", token=token, key=f"key-{token}", **known | fields)


class Desk:
    """A core, and what a shell would do with it."""

    def __init__(self, slots: int = 2, **options: Any) -> None:
        self.core = PullerCore("q", "ns/n/w", "s", slots, **options)
        self.now = 100.0
        self.started: dict[str, int] = {}
        self.orders: list[Order] = []

    def attach(self) -> Attach:
        said = self.core.attach(self.now)
        assert said is not None
        return said

    def attached(self, epoch: int = 1, **more: Any) -> None:
        self.core.attach_answered(Attached(epoch, LEASE, **more), self.now)

    def join(self) -> None:
        self.attach()
        self.attached()

    def lease(self, *tokens: str, epoch: int = 1, session: str = "s", **fields: Any) -> None:
        jobs = tuple(leased_job(token, **fields) for token in tokens)
        self.core.leased(Leased(session, epoch, jobs), self.now)
        self.look()

    def look(self) -> list[Order]:
        self.core.tick(self.now)
        orders = self.core.take_orders()
        self.started.update({each.job.token: each.slot for each in orders if isinstance(each, Start)})
        self.orders += orders
        return orders

    def later(self, seconds: float) -> list[Order]:
        self.now += seconds
        return self.look()

    def end(self, token: str, outcome: Any = "ack") -> None:
        self.core.ended(token, None if outcome is None else Settlement(token, outcome), self.now)
        self.look()

    def settlements(self) -> list[tuple[str, str]]:
        return [(each.token, each.outcome) for each in self.core.take_settlements(self.now)]


def test_what_was_lost_is_lost_and_what_was_cancelled_is_settled_as_that() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a", "b")
    desk.core.revoked(Revoked("s", ("a",), "lost"), desk.now)
    desk.core.revoked(Revoked("s", ("b",), "cancelled"), desk.now)
    orders = desk.look()
    assert [order.job.token for order in orders if isinstance(order, Lost)] == ["a"]
    assert [order.token for order in orders if isinstance(order, Stop)] == ["a", "b"]
    desk.end("a", None)
    desk.end("b", None)
    assert desk.settlements() == [("b", "cancel")]


# -- attaching ----------------------------------------------------------------------------------------------


def test_a_puller_attaches_at_once_and_three_times_in_a_lease() -> None:
    desk = Desk()
    said = desk.attach()
    assert (said.capacity, said.session, said.holding) == (2, "s", ())
    assert desk.core.attach(desk.now) is None, "one at a time"
    desk.attached()
    assert desk.core.attach(desk.now) is None
    desk.lease("a")
    assert desk.core.next_due() == desk.now + LEASE / 3
    desk.later(LEASE / 3)
    assert desk.attach().holding == ("a",)


def test_an_attachment_that_nobody_answers_is_said_again_ever_more_slowly() -> None:
    desk, waits = Desk(), list[float]()
    for _ in range(7):
        desk.attach()
        desk.core.attach_failed(desk.now)
        due = desk.core.next_due()
        assert due is not None
        waits.append(round(due - desk.now, 3))
        desk.now = due
    assert waits == [0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0]
    desk.core.attach_failed(desk.now)
    desk.core.look_again(desk.now)
    assert desk.attach().capacity == 2, "at once, as there may be a new host"


def test_a_job_without_marks_of_progress_is_not_renewed_and_a_mark_renews_it() -> None:
    desk = Desk(stall_timeout=30.0)
    desk.join()
    desk.lease("a", "b")
    desk.later(20.0)
    said = desk.attach()
    assert (said.holding, said.stalled) == (("a", "b"), ())
    desk.attached()
    desk.core.progressed("b", 0.5, "half", desk.now)
    desk.later(20.0)
    said = desk.attach()
    assert said.stalled == ("a",)
    assert [(each.token, each.done, each.note) for each in said.progress] == [("b", 0.5, "half")]


def test_progress_reaches_the_host_within_a_second() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a")
    desk.core.progressed("a", None, "x", desk.now)
    assert desk.core.next_due() == desk.now + 1.0


# -- jobs ---------------------------------------------------------------------------------------------------


def test_each_job_gets_a_slot_of_its_own_and_gives_it_back() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a", "b")
    assert sorted(desk.started.values()) == [0, 1]
    desk.end("a")
    assert desk.settlements() == [("a", "ack")]
    desk.lease("c")
    assert desk.started["c"] == desk.started["a"]
    assert desk.core.capacity == 2, "the host counts the same"


def test_a_job_without_a_slot_waits_a_moment_and_goes_back_then() -> None:
    desk = Desk(slots=1)
    desk.join()
    desk.lease("a")
    desk.lease("b")
    assert "b" not in desk.started
    assert desk.core.next_due() == desk.now + PATIENCE
    desk.end("a")
    assert "b" in desk.started
    desk.lease("c")
    desk.later(PATIENCE)
    assert desk.settlements() == [("a", "ack"), ("c", "release")]
    assert not any(isinstance(order, Ended) and order.job.token == "c" for order in desk.orders)


def test_jobs_of_another_session_or_an_older_host_are_not_begun() -> None:
    desk = Desk()
    desk.attach()
    desk.attached(epoch=5)
    desk.lease("a", session="other")
    desk.lease("b", epoch=4)
    desk.lease("c", epoch=5)
    desk.lease("c", epoch=5)
    assert list(desk.started) == ["c"]


def test_a_revoked_job_is_stopped_and_the_host_hears_how_it_ended() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a", "b")
    desk.core.revoked(Revoked("s", ("a",)), desk.now)
    assert desk.look() == [Stop("a")]
    assert desk.core.capacity == 1, "the host has taken the job back, and its slot is busy"
    desk.end("a")
    assert desk.core.capacity == 2
    assert desk.settlements() == [("a", "cancel")]


def test_a_lost_job_is_stopped_told_to_people_and_settled_no_more() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a")
    desk.later(LEASE / 3)
    desk.attach()
    desk.attached(lost=("a",))
    assert [type(each) for each in desk.look()] == [Lost, Stop]
    desk.end("a")
    assert desk.settlements() == []
    assert not desk.core.is_held("a")
    assert desk.core.capacity == 2


def test_a_handler_that_does_not_give_in_takes_from_the_capacity_and_loses_its_process() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a")
    desk.core.revoked(Revoked("s", ("a",)), desk.now)
    desk.look()
    assert desk.core.capacity == 1
    assert Kill("a") in desk.later(KILL_GRACE)
    assert desk.settlements() == [("a", "cancel")]
    assert desk.core.capacity == 1
    desk.end("a", None)
    assert desk.core.capacity == 2


# -- settlements --------------------------------------------------------------------------------------------


def test_settlements_are_said_until_they_are_answered_and_first_to_a_new_host() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a", "b")
    desk.end("a")
    batch = desk.core.take_settlements(desk.now)
    desk.end("b", "fail")
    desk.core.not_settled(batch, desk.now)
    assert desk.settlements() == [], "not at once"
    desk.attached(epoch=2)
    again = desk.core.take_settlements(desk.now)
    assert [each.token for each in again] == ["a", "b"]
    desk.core.settled(again, (), desk.now)
    assert (desk.core.over, desk.core.failed) == (2, 1)
    assert not desk.core.is_held("a")


def test_a_refused_settlement_is_told_to_people() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a")
    desk.end("a")
    desk.core.settled(desk.core.take_settlements(desk.now), ("a",), desk.now)
    assert any(isinstance(each, Lost) for each in desk.look())
    assert desk.core.over == 0


def test_a_job_that_is_being_settled_is_renewed_and_not_lost() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a")
    desk.end("a")
    desk.core.take_settlements(desk.now)
    desk.later(LEASE / 3)
    assert desk.attach().holding == ("a",)
    desk.attached(lost=("a",))
    assert not any(isinstance(each, Lost) for each in desk.look())


def test_many_settlements_are_cut_into_messages() -> None:
    box = Unsettled()
    for number in range(MAX_BATCH + 1):
        box.add(Settlement(str(number), "ack"))
    assert [len(box.take(0.0)), len(box.take(0.0)), len(box.take(0.0))] == [MAX_BATCH, 1, 0]
    assert len(box) == MAX_BATCH + 1


# -- limits -------------------------------------------------------------------------------------------------


def test_at_the_soft_limit_a_handler_is_cancelled_and_its_attempt_fails() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a", soft_timeout=5.0)
    assert desk.core.next_due() == desk.now + 5.0
    assert desk.later(5.0) == [Stop("a")]
    desk.end("a", None)
    (settlement,) = desk.core.take_settlements(desk.now)
    assert settlement.outcome == "fail"
    assert settlement.failure is not None
    assert settlement.failure.kind == "JobTimeoutError"
    assert settlement.failure.fields["limit"] == 5.0


def test_a_value_that_comes_after_the_soft_limit_counts() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a", soft_timeout=5.0)
    desk.later(5.0)
    desk.end("a")
    assert desk.settlements() == [("a", "ack")]


def test_at_the_hard_limit_the_attempt_is_over_whatever_its_handler_does() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a", hard_timeout=9.0)
    orders = desk.later(9.0)
    assert [type(each) for each in orders] == [Stop, Ended, Kill]
    assert desk.settlements() == [("a", "fail")]
    assert desk.core.capacity == 1
    desk.end("a")
    assert desk.settlements() == []
    assert desk.core.capacity == 2


# -- the end ------------------------------------------------------------------------------------------------


def test_a_drain_stops_pulling_and_hands_back_what_is_not_over_in_time() -> None:
    desk = Desk(slots=3)
    desk.join()
    desk.lease("quick", "slow", "stubborn")
    desk.core.drain(30.0, desk.now)
    assert desk.attach().capacity == 0
    desk.attached()
    desk.lease("late")
    desk.later(10.0)
    desk.end("quick")
    assert set(desk.later(20.0)) == {Stop("slow"), Stop("stubborn")}
    desk.end("slow", None)
    assert not desk.core.drained
    desk.later(HAND_BACK_GRACE)
    batch = desk.core.take_settlements(desk.now)
    assert {each.token: each.outcome for each in batch} == {
        "late": "release",
        "quick": "ack",
        "slow": "release",
        "stubborn": "release",
    }
    assert not desk.core.drained, "nobody has taken note of it"
    desk.core.settled(batch, (), desk.now)
    assert desk.core.drained


def test_a_second_drain_with_less_time_hands_back_at_once() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a")
    desk.core.drain(30.0, desk.now)
    assert desk.later(1.0) == []
    desk.core.drain(0.0, desk.now)
    assert desk.look() == [Stop("a")]
    desk.core.drain(100.0, desk.now)
    desk.later(HAND_BACK_GRACE)
    assert desk.settlements() == [("a", "release")]


def test_renewal_and_cancelling_go_on_during_a_drain() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a", "b")
    desk.core.drain(1000.0, desk.now)
    desk.attach()
    desk.attached()
    desk.later(LEASE / 3)
    assert desk.attach().holding == ("a", "b")
    desk.core.revoked(Revoked("s", ("b",)), desk.now)
    assert desk.look() == [Stop("b")]


def test_replicas_that_are_gone_for_good_take_from_the_capacity() -> None:
    desk = Desk()
    desk.join()
    desk.lease("a")
    desk.core.slot_gone(desk.started["a"])
    desk.core.broke("a", Settlement("a", "fail"))
    desk.end("a", None)
    assert desk.settlements() == [("a", "fail")]
    assert desk.core.capacity == 1
    assert not desk.core.hopeless
    desk.core.slot_gone(1 - desk.started["a"])
    assert desk.core.hopeless


# -- whatever happens ---------------------------------------------------------------------------------------


class PullerMachine(RuleBasedStateMachine):
    """A host that counts as the puller does, and whatever may happen between them, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.core = PullerCore("q", "w", "s", 3, stall_timeout=40.0)
        self.now = 0.0
        self.numbers = 0
        self.capacity = 0
        self.host: set[str] = set()
        self.working: set[str] = set()
        self.asked: set[str] = set()
        self.batches: list[list[Settlement]] = []
        self.verdicts: dict[str, str] = {}
        self.open: Attach | None = None

    def look(self) -> None:
        self.core.tick(self.now)
        for order in self.core.take_orders():
            if isinstance(order, Start):
                assert order.job.token not in self.working
                self.working.add(order.job.token)
            elif isinstance(order, Stop):
                assert order.token in self.working
                self.asked.add(order.token)
        said = self.core.attach(self.now)
        if said is not None:
            assert self.open is None
            self.open = said
        while batch := self.core.take_settlements(self.now):
            self.batches.append(batch)

    @precondition(lambda self: self.open is not None)
    @rule(lost=st.booleans())
    def host_answers(self, lost: bool) -> None:
        said, self.open = self.open, None
        assert said is not None
        self.capacity = said.capacity
        gone = tuple(token for token in said.holding if token not in self.host)
        if lost:
            self.core.attach_failed(self.now)
        else:
            self.core.attach_answered(Attached(1, LEASE, gone), self.now)
        self.look()

    @precondition(lambda self: len(self.host) < self.capacity)
    @rule(limited=st.booleans())
    def host_leases(self, limited: bool) -> None:
        self.numbers += 1
        token = f"t{self.numbers}"
        self.host.add(token)
        limits = {"soft_timeout": 20.0, "hard_timeout": 30.0} if limited else {}
        self.core.leased(Leased("s", 1, (leased_job(token, **limits),)), self.now)
        self.look()

    @precondition(lambda self: self.host)
    @rule(data=st.data())
    def lease_ends(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(sorted(self.host)))
        self.host.discard(token)
        self.core.revoked(Revoked("s", (token,)), self.now)
        self.look()

    @precondition(lambda self: self.working)
    @rule(data=st.data(), outcome=st.sampled_from(["ack", "fail", None]))
    def handler_ends(self, data: st.DataObject, outcome: Any) -> None:
        token = data.draw(st.sampled_from(sorted(self.working)))
        if outcome is None and token not in self.asked:
            outcome = "ack"
        self.working.discard(token)
        self.core.ended(token, None if outcome is None else Settlement(token, outcome), self.now)
        self.look()

    @precondition(lambda self: self.batches)
    @rule(arrived=st.booleans(), answered=st.booleans())
    def settle(self, arrived: bool, answered: bool) -> None:
        batch = self.batches.pop(0)
        refused = list[str]()
        for each in batch if arrived else ():
            if each.token in self.host:
                self.host.discard(each.token)
                self.verdicts[each.token] = each.outcome
            elif self.verdicts.get(each.token) != each.outcome:
                refused.append(each.token)
        if arrived and answered:
            self.core.settled(batch, tuple(refused), self.now)
        else:
            self.core.not_settled(batch, self.now)
        self.look()

    @rule(seconds=st.sampled_from([0.5, 3.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.look()

    @rule(seconds=st.sampled_from([0.0, 10.0]))
    def drain(self, seconds: float) -> None:
        self.core.drain(seconds, self.now)
        self.look()

    @invariant()
    def never_more_at_work_than_there_are_slots(self) -> None:
        assert len(self.working) <= 3
        assert 0 <= self.core.capacity <= 3

    def teardown(self) -> None:
        """Whatever happened: with an answering host and time, all ends."""
        self.core.drain(0.0, self.now)
        for _ in range(12):
            self.now += 6.0
            self.look()
            for token in sorted(self.working):
                self.working.discard(token)
                self.core.ended(token, None, self.now)
            self.look()
            while self.batches:
                self.settle(arrived=True, answered=True)
            if self.open is not None:
                self.host_answers(lost=False)
        assert self.core.drained
        assert not self.host, "what was leased was settled, or its lease has ended"


PullerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPuller = PullerMachine.TestCase


def test_an_older_host_is_believed_once_no_newer_one_was_heard_for_a_lease() -> None:
    desk = Desk()
    desk.attach()
    desk.attached(epoch=5)
    desk.later(LEASE / 2)
    desk.attach()
    desk.attached(epoch=1)
    assert desk.core.epoch == 5
    desk.later(LEASE)  # the queue has begun anew, say in the memory of another process
    desk.attach()
    desk.attached(epoch=1)
    desk.lease("a", epoch=1)
    assert list(desk.started) == ["a"]
