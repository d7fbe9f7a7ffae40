"""A worker's agent in a process: what the one process has asked is no answer to the next."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from agentbus.agents.delivery import Body, Delivery
from agentbus.agents.headers import Headers
from agentbus.agents.processes.child import Child
from agentbus.agents.processes.frames import EffectKept, KeepEffect
from agentbus.agents.queues.attempt import Attempt
from agentbus.agents.queues.core.job import Effect, LeasedJob
from agentbus.agents.queues.job_process import JobProcess
from agentbus.agents.queues.messages import Settlement
from agentbus.runtime import Future


class Desk:
    """A desk that answers when the test says so."""

    def __init__(self) -> None:
        self.kept: Future[None] = Future()

    def progress(self, token: str, done: float | None, note: str) -> None:
        pass

    def record(self, token: str, job_id: str, effect: Effect) -> Future[None]:
        return self.kept

    def ended(self, token: str, settlement: Settlement | None) -> None:
        pass

    def broke(self, token: str, settlement: Settlement) -> None:
        pass


class Process:
    """A child process that is told things; it stands in for its cell and the loop of that, too."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.loop = self

    def post(self, frame: object) -> None:
        self.told.append(frame)

    def call_soon(self, call: Any, *args: Any) -> None:
        call(*args)


class Agent(JobProcess):
    """The parent's side, between two processes of its agent."""

    def __init__(self, desk: Desk, process: Process) -> None:
        lease = LeasedJob("j", "t", "T", 1, msgspec.Raw(b"{}"), 1, "k", 60.0)
        body = Body("T", 1, msgspec.Raw(b"{}"))
        attempt = Attempt(lease, "q", desk)
        self._cell = cast("Any", process)
        self._deliveries = {1: Delivery(cast("Any", None), body, Headers(None), attempt=attempt)}
        self.lives_in(process)

    def lives_in(self, process: Process) -> None:
        self._child = cast("Child", process)

    def asked(self, serial: int) -> None:
        self._said_of_job(KeepEffect(1, serial, Effect("charge")))


def test_an_effect_that_is_kept_is_told_to_the_process_that_has_asked() -> None:
    desk, process = Desk(), Process()
    Agent(desk, process).asked(1)
    desk.kept.set(None)
    assert process.told == [EffectKept(1, None)]


def test_an_effect_that_a_dead_process_has_asked_for_is_not_told_to_the_next() -> None:
    desk, dead, alive = Desk(), Process(), Process()
    agent = Agent(desk, dead)
    agent.asked(1)
    agent.lives_in(alive)
    desk.kept.set(None)
    assert (dead.told, alive.told) == ([], [])
