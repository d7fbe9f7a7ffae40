"""Stalls: the pure rules, and agents that are watched, on virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbus.agents import (
    AgentFailure,
    AgentRecovered,
    AgentStalled,
    AsyncAgentActor,
    Bus,
    Message,
    Outcome,
    Request,
    handles,
)
from agentbus.agents.lives.stalls import Stalls
from agentbus.errors import AgentFailed, AgentRestarted
from agentbus.runtime import Backoff, Future, RestartMode, RestartPolicy, virtual_sleep
from tests.agents.agents import Echo, Fail, Text
from tests.agents.cluster import Cluster, simulate

RESTART = RestartPolicy(mode=RestartMode.RESTART, backoff=Backoff(initial_delay=0.1, jitter_ratio=0.0))


class LongWork(Request[int]):
    """Works in steps, with or without a mark after each."""

    steps: int = 1
    seconds: float = 20.0
    marks: bool = False
    stubborn: bool = False


class Busy(AsyncAgentActor):
    concurrency = 2
    stall_timeout = 30.0

    @handles
    async def work(self, task: LongWork) -> int:
        for _ in range(task.steps):
            try:
                await virtual_sleep(task.seconds)
            except asyncio.CancelledError:
                if not task.stubborn:
                    raise
            if task.marks:
                self.progress("a step")
        return self.restarts

    @handles
    async def echo(self, message: Echo) -> Text:
        return Text(message.text)

    @handles
    async def fail(self, message: Fail) -> None:
        raise RuntimeError(message.why)


class Nudged(Message):
    """Does nothing."""


async def one(cluster: Cluster) -> Bus:
    (bus,) = await cluster.join("a")
    return bus


# -- the rules ----------------------------------------------------------------------------------------------


def test_a_stall_is_told_once_and_ends_with_a_mark() -> None:
    stalls = Stalls(10.0)
    stalls.began("job", "LongWork", 0.0)
    assert stalls.next_look() == 10.0
    assert stalls.look(9.9) == []
    ((key, work),) = stalls.look(10.0)
    assert (key, work.message_type, stalls.any_stalled) == ("job", "LongWork", True)
    assert stalls.look(50.0) == []
    assert stalls.next_look() is None
    assert stalls.marked("job", 60.0) is work
    assert (stalls.any_stalled, stalls.next_look()) == (False, 70.0)
    assert stalls.marked("job", 61.0) is None
    assert len(stalls.look(71.0)) == 1
    assert stalls.ended("job") is work
    assert stalls.ended("job") is None
    assert stalls.marked("job", 80.0) is None
    assert stalls.next_look() is None


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["begin", "mark", "end", "look"]), st.integers(0, 2), st.integers(0, 7))
    )
)
def test_stalls_and_recoveries_take_turns_and_none_is_early(script: list[tuple[str, int, int]]) -> None:
    stalls, now = Stalls(10.0), 0.0
    marks: dict[int, float] = {}
    stalled: set[int] = set()
    for action, key, seconds in script:
        now += seconds
        if action == "begin" and key not in marks:
            stalls.began(key, "LongWork", now)
            marks[key] = now
        elif action == "mark":
            assert (stalls.marked(key, now) is not None) == (key in stalled)
            stalled.discard(key)
            marks.update({key: now} if key in marks else {})
        elif action == "end":
            assert (stalls.ended(key) is not None) == (key in stalled)
            stalled.discard(key)
            marks.pop(key, None)
        elif action == "look":
            told: set[Any] = {each for each, _work in stalls.look(now)}
            assert told == {each for each, mark in marks.items() if now - mark >= 10.0} - stalled
            stalled |= told
        assert stalls.any_stalled == bool(stalled)


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan")])
def test_a_timeout_is_above_zero(timeout: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Stalls(timeout)


# -- agents -------------------------------------------------------------------------------------------------


def test_busy_without_a_mark_is_one_event_and_its_end_another() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Busy, name="busy")
        assert await ref.ask(LongWork(seconds=100.0)) == 0
        (stalled,) = cluster.seen("a", AgentStalled)
        assert (stalled.address, stalled.message_type, stalled.restarting) == (
            "default/a/busy",
            "LongWork",
            False,
        )
        assert stalled.seconds == pytest.approx(30.0)
        (recovered,) = cluster.seen("a", AgentRecovered)
        assert (recovered.address, recovered.message_type) == ("default/a/busy", "LongWork")
        assert recovered.seconds == pytest.approx(100.0)

    simulate(scenario)


def test_marks_keep_an_agent_from_stalling_however_long_it_works() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        await bus.spawn(Busy).ask(LongWork(steps=20, marks=True))
        assert cluster.seen("a", AgentStalled) == []
        await bus.spawn(Busy).ask(LongWork(steps=2, marks=False))
        assert len(cluster.seen("a", AgentStalled)) == 1

    simulate(scenario)


def test_a_mark_after_a_stall_is_a_recovery_and_silence_after_it_another_stall() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        await bus.spawn(Busy).ask(LongWork(steps=2, seconds=40.0, marks=True))
        assert len(cluster.seen("a", AgentStalled)) == 2
        assert len(cluster.seen("a", AgentRecovered)) == 2

    simulate(scenario)


def test_an_idle_agent_never_stalls_and_arms_no_timer() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Busy)
        await ref.ask(Echo("x"))
        await virtual_sleep(1000)
        assert cluster.seen("a", AgentStalled) == []

    simulate(scenario)


def test_each_of_several_messages_has_its_own_watch() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Busy)
        marking, silent = ref.ask(LongWork(steps=5, marks=True)), ref.ask(LongWork(seconds=50.0))
        await silent
        await marking
        assert len(cluster.seen("a", AgentStalled)) == 1

    simulate(scenario)


def test_a_restart_cancels_the_stalled_handler_as_a_failure_of_the_agent() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Busy, on_stall="restart", stall_timeout=10.0)
        stuck, beside = (
            ref.ask(LongWork(seconds=1000.0)),
            ref.ask(LongWork(steps=100, seconds=5.0, marks=True)),
        )
        queued = ref.ask(Echo("after"))
        with pytest.raises(AgentFailed) as failed:
            await stuck
        assert "AgentStalledError" in failed.value.error_type
        with pytest.raises(AgentRestarted):
            await beside
        assert (await queued).text == "after"
        assert await ref.ask(LongWork(seconds=1.0)) == 1
        (stalled,) = cluster.seen("a", AgentStalled)
        assert stalled.restarting
        (failure,) = cluster.seen("a", AgentFailure)
        assert failure.message_type == "LongWork"

    simulate(scenario)


def test_a_told_message_that_stalls_is_dead_lettered_and_tried_again_if_asked_for() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        policy = RestartPolicy(mode=RestartMode.RESTART, backoff=RESTART.backoff, retry_poison=1)
        ref = bus.spawn(Busy, on_stall="restart", supervision=policy)
        assert await ref.tell(LongWork(seconds=1000.0)) is Outcome.DEAD_LETTERED
        assert len(cluster.seen("a", AgentStalled)) == 2

    simulate(scenario)


def test_a_handler_that_does_not_give_in_is_left_behind() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Busy, on_stall="restart", stall_timeout=10.0, supervision=RESTART)
        stuck: Future[Any] = ref.ask(LongWork(steps=3, seconds=20.0, stubborn=True))
        with pytest.raises(AgentRestarted):
            await stuck
        assert (await ref.ask(Echo("again"))).text == "again"
        await virtual_sleep(100)

    simulate(scenario)


def test_a_handler_that_ends_by_itself_when_cancelled_counts_and_the_agent_restarts() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Busy, on_stall="restart", stall_timeout=10.0, supervision=RESTART)
        assert await ref.ask(LongWork(seconds=1000.0, stubborn=True)) == 0
        await virtual_sleep(1)
        assert await ref.ask(LongWork(seconds=1.0)) == 1

    simulate(scenario)


def test_a_failure_of_another_kind_ends_the_watch() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Busy, supervision=RESTART)
        ref.tell(LongWork(seconds=1000.0))
        with pytest.raises(AgentFailed):
            await ref.ask(Fail())
        await virtual_sleep(200)
        assert cluster.seen("a", AgentStalled) == []

    simulate(scenario)


def test_what_no_watch_can_do_is_refused() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        wrong: Any = "panic"
        with pytest.raises(ValueError, match="on_stall"):
            bus.spawn(Busy, on_stall=wrong)
        with pytest.raises(ValueError, match="stall_timeout"):
            bus.spawn(Busy, stall_timeout=0.0)

    simulate(scenario)
