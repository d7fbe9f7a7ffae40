"""A worker's agent in a process: what the one process has asked is no answer to the next."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec

from agentbus.agents.address import Address
from agentbus.agents.delivery import Body, Delivery
from agentbus.agents.headers import Headers
from agentbus.agents.processes.child import Child
from agentbus.agents.processes.frames import MAX_ENVELOPE_BYTES, EffectKept, KeepEffect
from agentbus.agents.queues.attempt import Attempt
from agentbus.agents.queues.core.job import Effect, LeasedJob
from agentbus.agents.queues.job_process import JobProcess
from agentbus.agents.queues.messages import Settlement
from agentbus.runtime import Future


class Desk:
    """A desk that answers when the test says so."""

    def __init__(self) -> None:
        self.kept: Future[None] = Future()
        self.over: list[tuple[str, Settlement | None]] = []

    def progress(self, token: str, done: float | None, note: str) -> None:
        pass

    def record(self, token: str, job_id: str, effect: Effect) -> Future[None]:
        return self.kept

    def ended(self, token: str, settlement: Settlement | None) -> None:
        self.over.append((token, settlement))

    def broke(self, token: str, settlement: Settlement) -> None:
        pass


class Process:
    """A child process that is told things; it stands in for its cell and the loop of that, too."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.loop = self

    def number(self) -> int:
        return 2

    def post(self, frame: object) -> None:
        self.told.append(frame)

    def call_soon(self, call: Any, *args: Any) -> None:
        call(*args)


class Agent(JobProcess):
    """The parent's side, between two processes of its agent."""

    def __init__(self, desk: Desk, process: Process, body: bytes = b"{}") -> None:
        lease = LeasedJob("j", "t", "T", 1, msgspec.Raw(body), 1, "k", 60.0)
        attempt = Attempt(lease, "q", desk)
        self._cell = cast("Any", process)
        self._address = Address("n", "n", "a")
        self.delivery = Delivery(
            cast("Any", None), Body("T", 1, msgspec.Raw(body)), Headers(None), attempt=attempt
        )
        self._deliveries = {1: self.delivery}
        self.lives_in(process)

    def loses_its_process(self) -> None:
        self._child = None

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


def test_a_job_that_comes_while_the_process_is_being_replaced_is_handed_back() -> None:
    desk = Desk()
    agent = Agent(desk, Process())
    agent.loses_its_process()
    asyncio.run(agent.on_message(agent.delivery))
    assert desk.over == [("t", Settlement("t", "release"))]


def test_a_job_that_its_process_could_not_be_told_is_a_dead_letter_at_once() -> None:
    desk = Desk()
    agent = Agent(desk, Process(), body=b'"' + b"x" * MAX_ENVELOPE_BYTES + b'"')
    asyncio.run(agent.on_message(agent.delivery))
    ((token, settlement),) = desk.over
    assert settlement is not None
    assert settlement.failure is not None
    assert (token, settlement.outcome, settlement.failure.kind) == ("t", "reject", "BodyTooLargeError")
