"""Handlers at work on a bus: unions, base classes, the catch-all, both kinds of function, declared errors."""

from __future__ import annotations

from typing import Any

import pytest

from agentbus.agents import AgentActor, AsyncAgentActor, Bus, Message, Outcome, handles
from agentbus.errors import UnhandledMessageError
from tests.agents.cluster import Cluster, simulate


class Westward(Message):
    pass


class Eastward(Message):
    pass


class Parent(Message):
    pass


class Offspring(Parent):
    pass


class Newcomer(Message):
    pass


class Missing(Message):
    key: str


class MissingError(Exception):
    pass


class Async(AsyncAgentActor):
    @handles
    async def either(self, message: Westward | Eastward) -> str:
        return f"either {type(message).__name__}"

    @handles
    def base(self, message: Parent) -> str:
        return f"base {type(message).__name__}"

    @handles(raises=(MissingError,))
    async def look(self, message: Missing) -> str:
        raise MissingError(message.key)


class Sync(AgentActor):
    @handles
    def either(self, message: Westward | Eastward) -> str:
        return f"either {type(message).__name__}"

    @handles
    def base(self, message: Parent) -> str:
        return f"base {type(message).__name__}"

    @handles(raises=(MissingError,))
    def look(self, message: Missing) -> str:
        raise MissingError(message.key)


class AsyncAll(Async):
    @handles
    async def anything_else(self, message: Message) -> str:
        return f"anything {type(message).__name__}"


class SyncAll(Sync):
    @handles
    def anything_else(self, message: Message) -> str:
        return f"anything {type(message).__name__}"


HEARD = (
    (Westward(), "either Westward"),
    (Eastward(), "either Eastward"),
    (Parent(), "base Parent"),
    (Offspring(), "base Offspring"),
)


@pytest.mark.parametrize("kind", [Async, Sync])
@pytest.mark.parametrize("target", ["one/agent", "two/agent"])
def test_the_type_of_a_message_picks_its_handler(kind: type[Any], target: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        for bus in (one, two):
            bus.spawn(kind, name="agent")
        for message, heard in HEARD:
            assert await one.ref(target).ask(message) == heard
        with pytest.raises(UnhandledMessageError):
            await one.ref(target).ask(Newcomer())
        assert await one.ref(target).tell(Newcomer()) is Outcome.DEAD_LETTERED

    simulate(scenario)


@pytest.mark.parametrize("kind", [AsyncAll, SyncAll])
@pytest.mark.parametrize("target", ["one/agent", "two/agent"])
def test_a_catch_all_gets_what_no_other_handler_takes(kind: type[Any], target: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        for bus in (one, two):
            bus.spawn(kind, name="agent")
        assert await one.ref(target).ask(Newcomer()) == "anything Newcomer"
        assert await one.ref(target).ask(Offspring()) == "base Offspring"

    simulate(scenario)


@pytest.mark.parametrize("kind", [Async, Sync])
@pytest.mark.parametrize("target", ["one/agent", "two/agent"])
def test_a_declared_error_is_an_answer_and_the_agent_goes_on(kind: type[Any], target: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        for bus in (one, two):
            bus.spawn(kind, name="agent")
        with pytest.raises(MissingError, match="here"):
            await one.ref(target).ask(Missing("here"))
        assert await one.ref(target).tell(Missing("here")) is Outcome.DELIVERED
        assert await one.ref(target).ask(Westward()) == "either Westward"
        assert one.dead_letters.count == two.dead_letters.count == 0

    simulate(scenario)


def test_a_thread_answers_the_same() -> None:
    with Bus() as bus:
        ref = bus.spawn(SyncAll)
        for message, heard in (*HEARD, (Newcomer(), "anything Newcomer")):
            assert ref.ask(message).get(timeout=5) == heard
        with pytest.raises(MissingError):
            ref.ask(Missing("here")).get(timeout=5)
