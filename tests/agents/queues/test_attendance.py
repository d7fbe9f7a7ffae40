"""Whose death is certain: only then is a job given to somebody else before its lease ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentbus.agents.events import DeathReason
from agentbus.agents.queues.attendance import Attendance
from agentbus.agents.watching import AgentDown
from agentbus.runtime import HostedLoop, Subscription, VirtualLoop

WORKER = "default/one/hand"


class Watches:
    """Takes watches, and fires them when the test says so."""

    def __init__(self) -> None:
        self.set: list[Callable[[AgentDown], object]] = []

    def watch(self, worker: str, callback: Callable[[AgentDown], object]) -> Subscription:
        assert worker == WORKER
        self.set.append(callback)
        return Subscription(lambda: self.set.remove(callback))

    def fire(self, reason: str, *, certain: bool) -> None:
        self.set.pop(0)(AgentDown(WORKER, reason, certain))


def _append_to(gone: list[tuple[str, str]]) -> Callable[[str, str], None]:
    return lambda worker, session: gone.append((worker, session))


def attend(*news: tuple[str, bool]) -> tuple[list[tuple[str, str]], Watches]:
    """Attach a worker, let watches fire one after the other, and give who was taken for dead."""
    gone: list[tuple[str, str]] = []
    with VirtualLoop() as loop:
        watches = Watches()
        attendance = Attendance(watches.watch, HostedLoop(loop), _append_to(gone))
        attendance.saw(WORKER, "s1")
        for reason, certain in news:
            watches.fire(reason, certain=certain)
            loop.run_until_idle()
    return gone, watches


@pytest.mark.parametrize("reason", ["ended", "no_such_agent", DeathReason.GOODBYE, DeathReason.EXITED])
def test_a_death_that_somebody_saw_is_certain(reason: str) -> None:
    gone, watches = attend((reason, True))
    assert gone == [(WORKER, "s1")]
    assert not watches.set


@pytest.mark.parametrize("reason", [DeathReason.SILENT, "no_such_agent"])
def test_silence_and_a_node_that_is_not_known_are_no_death(reason: str) -> None:
    gone, watches = attend((reason, False))
    assert not gone
    assert not watches.set


def test_a_new_life_of_its_node_is_asked_for_the_worker() -> None:
    gone, watches = attend((DeathReason.REPLACED, False))
    assert not gone
    assert len(watches.set) == 1


def test_a_worker_that_the_new_life_does_not_know_is_dead() -> None:
    gone, _ = attend((DeathReason.REPLACED, False), ("no_such_agent", True))
    assert gone == [(WORKER, "s1")]
