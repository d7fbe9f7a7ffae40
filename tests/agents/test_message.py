from __future__ import annotations

import gc
import types
from typing import Any, cast

import msgspec
import pytest

from agentbus.agents.message import Message, MessageTypes, Request, decode_message, message_types, reply_type
from agentbus.errors import UndecodableMessageError


class Plain(Message):
    text: str
    count: int = 1


class Renamed(Message, wire_name="plain.other", version=3):
    text: str


class ByAttribute(Message):
    __wire_name__ = "by.attribute"
    __wire_version__ = 2

    text: str


class Answer(Message):
    value: int


class Question(Request[Answer]):
    text: str


class Narrower(Question):
    limit: int = 10


def test_the_class_name_and_version_one_are_the_defaults() -> None:
    assert (Plain.__wire_name__, Plain.__wire_version__) == ("Plain", 1)


def test_name_and_version_come_from_class_arguments_or_attributes() -> None:
    assert (Renamed.__wire_name__, Renamed.__wire_version__) == ("plain.other", 3)
    assert (ByAttribute.__wire_name__, ByAttribute.__wire_version__) == ("by.attribute", 2)


def test_a_subclass_is_a_message_of_its_own() -> None:
    class Child(Renamed):
        more: int = 0

    assert (Child.__wire_name__, Child.__wire_version__) == ("Child", 1)
    assert Child("x").more == 0


def test_messages_are_frozen_and_hashable() -> None:
    message: Any = Plain("x")
    with pytest.raises(AttributeError):
        message.text = "y"
    assert message == Plain("x", 1)
    assert len({message, Plain("x")}) == 1


def test_fields_that_look_like_a_version_stay_fields() -> None:
    class Release(Message):
        version: str
        wire_name: str = "mine"

    assert Release.__wire_version__ == 1
    assert msgspec.json.encode(Release("1.2")) == b'{"version":"1.2","wire_name":"mine"}'


def make(
    name: str, module: str = __name__, fields: dict[str, type] | None = None, **arguments: Any
) -> type[Message]:
    made: Any = types.new_class(
        name,
        (Message,),
        arguments,
        lambda space: space.update(__annotations__=fields or {}, __module__=module),
    )
    return cast("type[Message]", made)


@pytest.mark.parametrize("arguments", [{"wire_name": "x" * 200}, {"version": -1}])
def test_bad_names_and_versions_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"wire name|versions"):
        make("Bad", **arguments)


def test_a_request_says_what_its_reply_is() -> None:
    assert reply_type(Question) is Answer
    assert reply_type(Narrower) is Answer
    assert reply_type(Plain) is None
    assert reply_type(Request) is None


def test_types_are_found_by_name_and_version() -> None:
    assert message_types.find("plain.other", 3) is Renamed
    with pytest.raises(UndecodableMessageError):
        message_types.find("plain.other", 2)


def test_a_redefined_class_takes_the_place_of_the_former() -> None:
    table = MessageTypes()
    first, second = make("Cell", fields={"a": int}), make("Cell", fields={"b": int})
    table.add(first)
    table.add(second)
    assert table.find("Cell", 1) is second


def test_one_name_in_two_modules_is_ambiguous_unless_one_is_nearer() -> None:
    table = MessageTypes()
    made = [make("Order", module) for module in ("shop", "bank")]
    for cls in made:
        table.add(cls)
    assert table.find("Order", 1, near="bank") is made[1]
    with pytest.raises(UndecodableMessageError, match=r"bank\.Order, shop\.Order"):
        table.find("Order", 1)


def test_forgotten_classes_leave_the_table() -> None:
    table = MessageTypes()

    def define() -> None:
        class Passing(Message):
            pass

        table.add(Passing)

    define()
    gc.collect()
    with pytest.raises(UndecodableMessageError):
        table.find("Passing", 1)


def test_a_body_that_does_not_fit_says_where_and_repeats_no_value() -> None:
    assert decode_message(Plain, b'{"text": "x", "later": 1}') == Plain("x")
    with pytest.raises(UndecodableMessageError, match=r"\$\.text") as caught:
        decode_message(Plain, b'{"text": 12345678}')
    assert "12345678" not in str(caught.value)
    for broken in (b"", b"{", b"[]", b'{"text": "\xff"}', b"[" * 100_000):
        with pytest.raises(UndecodableMessageError):
            decode_message(Plain, broken)
