from __future__ import annotations

from typing import Any

import pytest

from agentbus.runtime.dispatch import build_table, find_handler, receives


class Ping: ...


class LoudPing(Ping): ...


class Pong: ...


class Base:
    @receives(Ping)
    def ping(self, message: Ping) -> str:
        return "base ping"

    @receives(Pong)
    def pong(self, message: Pong) -> str:
        return "base pong"


def fallback(actor: Any, message: Any) -> str:
    return "fallback"


def call(cls: type, message: Any) -> Any:
    table = build_table(cls)
    kind: type = message.__class__
    handler = table.get(kind) or find_handler(table, kind, fallback)
    return handler(cls(), message)


def test_a_message_goes_to_the_method_that_claims_its_type() -> None:
    assert [call(Base, Ping()), call(Base, Pong())] == ["base ping", "base pong"]


def test_a_subclass_of_a_message_goes_where_its_base_goes() -> None:
    assert call(Base, LoudPing()) == "base ping"


def test_an_unclaimed_message_goes_to_the_fallback() -> None:
    assert call(Base, {"a": 1}) == "fallback"


def test_overriding_the_method_overrides_the_handler() -> None:
    class Derived(Base):
        def ping(self, message: Ping) -> str:
            return "derived ping"

    assert call(Derived, Ping()) == "derived ping"


def test_the_most_derived_claim_wins() -> None:
    class Derived(Base):
        @receives(Ping)
        def another(self, message: Ping) -> str:
            return "another"

    assert [call(Derived, Ping()), call(Base, Ping())] == ["another", "base ping"]


def test_one_method_may_receive_several_types() -> None:
    class Both:
        @receives(Ping, Pong)
        def any(self, message: Ping | Pong) -> str:
            return type(message).__name__

    assert [call(Both, Ping()), call(Both, Pong())] == ["Ping", "Pong"]


def test_a_found_handler_is_remembered() -> None:
    table = build_table(Base)
    handler = find_handler(table, LoudPing, fallback)
    assert table[LoudPing] is handler


def test_the_memory_for_found_handlers_is_bounded() -> None:
    table = build_table(Base)
    for number in range(2000):
        find_handler(table, type(f"T{number}", (), {}), fallback)
    assert len(table) <= 1024


def test_two_claims_on_one_type_in_one_class_are_an_error() -> None:
    def handler(self: object, message: object) -> None: ...

    def other(self: object, message: object) -> None: ...

    members = {"one": receives(Ping)(handler), "two": receives(Ping)(other)}
    with pytest.raises(TypeError, match=r"both receive Ping"):
        build_table(type("Twice", (), members))


def test_receives_needs_a_type() -> None:
    with pytest.raises(TypeError, match="@receives"):
        receives()
