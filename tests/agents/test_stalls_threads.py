"""Stalls of agents on threads: real threads, which nobody can cancel."""

from __future__ import annotations

import threading

import pytest

from agentbus.agents import AgentActor, AgentRecovered, AgentStalled, Bus, BusEvent, Request, handles
from agentbus.runtime import Backoff, EventStream, RestartMode, RestartPolicy

RESTART = RestartPolicy(mode=RestartMode.RESTART, backoff=Backoff(initial_delay=0.01, jitter_ratio=0.0))


class BlockHere(Request[int]):
    """BlockHere until the test lets go, or until cancelled."""

    until_cancelled: bool = False


class RestartsSoFar(Request[int]):
    """How often the agent was restarted."""


class Blocker(AgentActor):
    stall_timeout = 0.05

    def __init__(self, gate: threading.Event) -> None:
        self.gate = gate

    @handles
    def wait(self, task: BlockHere) -> int:
        while not (self.cancelled if task.until_cancelled else self.gate.is_set()):
            self.gate.wait(0.01)
        return self.restarts

    @handles
    def count(self, _message: RestartsSoFar) -> int:
        return self.restarts


def next_of(events: EventStream[BusEvent], kind: type[BusEvent]) -> BusEvent:
    while True:
        event = events.get(timeout=10)
        if isinstance(event, kind):
            return event


def test_a_thread_that_stalls_is_reported_and_recovers_with_its_end() -> None:
    with Bus() as bus:
        events, gate = bus.events.listen(), threading.Event()
        waiting = bus.spawn(Blocker, gate).ask(BlockHere())
        stalled = next_of(events, AgentStalled)
        assert isinstance(stalled, AgentStalled)
        assert not stalled.restarting
        gate.set()
        assert next_of(events, AgentRecovered)
        assert waiting.get(timeout=10) == 0


@pytest.mark.parametrize("watches_for_cancelling", [True, False])
def test_a_stalled_thread_sees_cancelled_and_the_agent_restarts_once_its_handler_ends(
    watches_for_cancelling: bool,
) -> None:
    with Bus() as bus:
        events, gate = bus.events.listen(), threading.Event()
        ref = bus.spawn(Blocker, gate, on_stall="restart", supervision=RESTART)
        waiting = ref.ask(BlockHere(until_cancelled=watches_for_cancelling))
        stalled = next_of(events, AgentStalled)
        assert isinstance(stalled, AgentStalled)
        assert stalled.restarting
        gate.set()
        assert waiting.get(timeout=10) == 0
        assert ref.ask(RestartsSoFar()).get(timeout=10) == 1
