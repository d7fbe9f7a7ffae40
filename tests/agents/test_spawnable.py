"""What `spawn`, `ask`, `route` and `Budget` refuse at the call, and in which words."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from agentbus import AgentActor, AsyncAgentActor, Budget, Bus, Message, handles


class Ping(Message):
    pass


class Ponger(AsyncAgentActor):
    def __init__(self, word: str = "pong", *, times: int = 1) -> None:
        self.word = word * times

    @handles
    async def ping(self, message: Ping) -> str:
        return self.word


class Plain(AgentActor):
    @handles
    def ping(self, message: Ping) -> str:
        return "plain"


class Parent(AsyncAgentActor):
    @handles
    async def ping(self, message: Ping) -> str:
        try:
            self.spawn(Ponger, wrong=1)
        except TypeError as error:
            return str(error)
        return "spawned"


@pytest.fixture
def bus() -> Generator[Bus]:
    with Bus() as bus:
        yield bus


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((Ponger,), {"wrong": 1}, "wrong"),
        ((Ponger,), {"wrong": 1, "replicas": 2}, "wrong"),
        ((Ponger,), {"wrong": 1, "process": True}, "wrong"),
        ((Ponger, "a", 2), {}, "too many positional"),
        ((Plain,), {"wrong": 1}, "wrong"),
        ((Plain, 1), {}, "positional"),
        ((Ponger(),), {}, r"spawn\(Ponger, …\)"),
        ((Ponger,), {"supervision": "restart"}, r"RestartPolicy\(mode="),
        ((Ponger,), {"mailbox": 5}, "MailboxOptions"),
        ((Ponger,), {"replicas": "2"}, "whole number"),
        ((Ponger,), {"stall_timeout": "5"}, "number of seconds"),
    ],
)
def test_what_cannot_be_spawned_is_refused_at_the_call_and_leaves_no_agent(
    bus: Bus, arguments: tuple[Any, ...], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        bus.spawn(*arguments, **options)
    assert bus.find() == []


def test_arguments_that_the_constructor_takes_reach_it(bus: Bus) -> None:
    assert bus.spawn(Ponger, "po", times=2).ask(Ping()).get(timeout=5) == "popo"


def test_an_agent_cannot_spawn_a_child_wrongly_either(bus: Bus) -> None:
    said = bus.spawn(Parent).ask(Ping()).get(timeout=5)
    assert said.startswith("Ponger(word='pong', times=1) can't be made of that: ")
    assert "'wrong'" in said


@pytest.mark.parametrize("method", ["ask", "tell", "stream"])
def test_a_timeout_that_is_no_number_is_refused_at_the_call(bus: Bus, method: str) -> None:
    with pytest.raises(TypeError, match="timeout= is a number of seconds, or None, not '5'"):
        getattr(bus.spawn(Ponger), method)(Ping(), timeout="5")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"tokens": 1.5}, "tokens are a whole number"), ({"hops": "3"}, "hops"), ({"wall": "5"}, "seconds")],
)
def test_a_budget_of_something_else_than_amounts_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        Budget(**arguments)


def test_a_sticky_route_says_that_it_needs_a_key(bus: Bus) -> None:
    with pytest.raises(ValueError, match='by="sticky" needs key='):
        bus.route(name="x", by="sticky")
    with pytest.raises(ValueError, match='not with by="round_robin"'):
        bus.route(name="x", key="k")
