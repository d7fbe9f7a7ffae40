"""Cells that share a policy and a fate, on virtual time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from agentbus.errors import AgentRestarted, AgentStopped
from agentbus.runtime import (
    CellGroup,
    CellRef,
    CellState,
    ChildDown,
    GaveUp,
    Stopped,
    StopReason,
    Strategy,
)
from tests.runtime.cells import AFTER_A_SECOND, AsyncWorker, CellWorld, Observer, restarting

OOPS = ValueError("oops")


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> Iterator[CellWorld]:
    caplog.set_level(logging.CRITICAL, "agentbus.runtime")
    world = CellWorld()
    with world.loop:
        yield world


class Group:
    """Three members, each with an observer of its own."""

    def __init__(self, world: CellWorld, strategy: Strategy = Strategy.ONE_FOR_ALL, **policy: Any) -> None:
        rules = restarting(AFTER_A_SECOND, strategy=strategy, **policy)
        self.group = CellGroup(rules, world.runtime.random)
        self.observers = [Observer() for _ in range(3)]
        self.parent = world.start(name="parent")
        self.members: list[CellRef] = [
            world.start(
                AsyncWorker, name=f"m{number}", group=self.group, observer=observer, parent=self.parent
            )
            for number, observer in enumerate(self.observers)
        ]
        world.settle()

    @property
    def restarts(self) -> list[int]:
        return [member.restarts for member in self.members]

    @property
    def states(self) -> list[CellState]:
        return [member.state for member in self.members]


def test_one_for_all_restarts_all_after_the_same_delay(world: CellWorld) -> None:
    group = Group(world)
    group.members[1].tell(OOPS)
    world.pass_time(0.9)
    assert group.states == [CellState.BACKING_OFF] * 3
    world.pass_time(0.1)
    assert group.states == [CellState.RUNNING] * 3
    assert group.restarts == [1, 1, 1]
    assert group.observers[1].kinds == ["Started", "Failed", "Restarting", "Restarted"]
    assert group.observers[0].kinds == ["Started", "Restarting", "Restarted"]


def test_healthy_members_stop_properly_and_keep_their_mailboxes(world: CellWorld) -> None:
    group = Group(world)
    running, waiting = group.members[0].ask(100), group.members[0].ask("kept")
    world.settle()
    group.members[1].tell(OOPS)
    world.pass_time(1.0)
    world.settle()
    assert isinstance(running.exception(), AgentRestarted)
    assert waiting.get() == (2, 1, "kept")
    assert "on_stop" in world.log


def test_one_for_one_concerns_nobody_else(world: CellWorld) -> None:
    group = Group(world, Strategy.ONE_FOR_ONE)
    group.members[1].tell(OOPS)
    world.pass_time(1.0)
    assert group.restarts == [0, 1, 0]


def test_one_failure_too_many_ends_all_and_tells_the_parent(world: CellWorld) -> None:
    group = Group(world, intensity=1)
    group.members[0].tell(OOPS)
    group.members[0].tell(OOPS)
    running, waiting = group.members[2].ask(1000), group.members[2].ask(1000)
    world.pass_time(10.0)
    assert group.states == [CellState.STOPPED] * 3
    assert isinstance(running.exception(), AgentRestarted)
    assert isinstance(waiting.exception(), AgentStopped)
    for observer in group.observers:
        assert any(isinstance(event, GaveUp) for event in observer.events)
        assert isinstance(observer.events[-1], Stopped)
        assert observer.events[-1].reason is StopReason.FAILED
    downs = {member.name: ("control", ChildDown(member, OOPS)) for member in group.members}
    assert [name for name, down in downs.items() if down in world.log] == ["m0", "m1", "m2"]


def test_giving_up_reaches_members_that_are_backing_off(world: CellWorld) -> None:
    group = Group(world, intensity=1)
    group.members[0].tell(OOPS)
    world.settle()
    assert group.states == [CellState.BACKING_OFF] * 3
    world.pass_time(1.0)
    group.members[1].tell(OOPS)
    world.settle()
    group.members[2].stop(now=True)
    world.settle()
    assert group.states[2] is CellState.STOPPED
    world.pass_time(1.0)
    group.members[0].tell(OOPS)
    world.pass_time(5.0)
    assert group.states == [CellState.STOPPED] * 3


def test_two_failures_at_once_restart_each_member_once(world: CellWorld) -> None:
    group = Group(world)
    group.members[0].tell(OOPS)
    group.members[1].tell(OOPS)
    world.pass_time(1.0)
    assert group.restarts == [1, 1, 1]


def test_a_member_that_was_stopped_is_left_alone(world: CellWorld) -> None:
    group = Group(world)
    group.members[0].stop()
    world.settle()
    group.members[1].tell(OOPS)
    world.pass_time(1.0)
    assert group.restarts == [0, 1, 1]
    assert group.states[0] is CellState.STOPPED
