"""Cancelling sync agents on real threads: what blocks ends, what is shielded goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from agentbus.agents import AgentActor, Bus, Request, handles
from agentbus.agents.events import AgentEnded, AgentFailure
from agentbus.errors import AskTimeoutError, FutureCancelledError

TIMEOUT = 10.0


class Hold(Request[str]):
    """Waits until it is released, in steps that see whether anybody still wants it."""


class Through(Request[str]):
    """Asks the holder, and waits for the reply."""

    shielded: bool = False


class Holder(AgentActor):
    def __init__(self, world: World) -> None:
        self.world = world

    @handles
    def hold(self, _message: Hold) -> str:
        self.world.holding.set()
        assert self.world.release.wait(TIMEOUT)
        self.world.log.append(f"holder cancelled: {self.cancelled}")
        self.checkpoint()
        self.world.log.append("holder done")
        return "held"


class Asker(AgentActor):
    def __init__(self, world: World) -> None:
        self.world = world

    @handles
    def through(self, message: Through) -> str:
        try:
            reply = self._ask(message)
        except (FutureCancelledError, AskTimeoutError):
            self.world.log.append(f"asker cancelled: {self.cancelled}")
            self.world.unwound.set()
            raise
        self.world.log.append(f"asker has {reply}, cancelled: {self.cancelled}")
        self.world.unwound.set()
        return reply

    def _ask(self, message: Through) -> str:
        holder = self.bus.ref("holder")
        if not message.shielded:
            return holder.ask(Hold()).get(TIMEOUT)
        with self.shielded():
            return holder.ask(Hold()).get(TIMEOUT)


class World:
    """A bus with both agents, and what happens there."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.holding, self.release, self.unwound = threading.Event(), threading.Event(), threading.Event()
        self.bus = Bus()
        self.events = self.bus.events.listen()
        self.bus.spawn(Holder, self, name="holder")
        self.asker = self.bus.spawn(Asker, self, name="asker")


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.release.set()
    world.bus.drain(TIMEOUT).get(TIMEOUT)
    seen = list(world.events)
    assert not [event for event in seen if isinstance(event, AgentFailure)]
    assert sum(isinstance(event, AgentEnded) for event in seen) == 2


@pytest.mark.parametrize("timeout", [None, 0.2])
def test_an_ask_that_a_sync_handler_waits_for_ends_with_its_message(
    world: World, timeout: float | None
) -> None:
    ask = world.asker.ask(Through(), timeout=timeout)
    assert world.holding.wait(TIMEOUT)
    if timeout is None:
        assert ask.cancel()
    assert world.unwound.wait(TIMEOUT)
    world.release.set()
    with pytest.raises((FutureCancelledError, AskTimeoutError)):
        ask.get(TIMEOUT)
    world.holding.clear()
    assert world.bus.ref("holder").ask(Hold()).get(TIMEOUT) == "held"
    assert world.log == [
        "asker cancelled: True",
        "holder cancelled: True",
        "holder cancelled: False",
        "holder done",
    ]


def test_a_shielded_ask_goes_on(world: World) -> None:
    ask = world.asker.ask(Through(shielded=True), timeout=0.2)
    assert world.holding.wait(TIMEOUT)
    with pytest.raises(AskTimeoutError):
        ask.get(TIMEOUT)
    world.release.set()
    assert world.unwound.wait(TIMEOUT)
    assert world.log == ["holder cancelled: False", "holder done", "asker has held, cancelled: True"]
