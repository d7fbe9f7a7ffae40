from __future__ import annotations

from typing import Any

import pytest

from agentbus.agents.handlers import HandlerTable, decode_reply, handler_table, handles
from agentbus.agents.message import Message, Request
from agentbus.errors import UndecodableMessageError, UnhandledMessageError


class Base(Message):
    text: str


class Derived(Base):
    more: int = 0


class Left(Message):
    a: int


class Right(Message):
    b: int


class Stranger(Message):
    c: int


class Total(Message):
    value: int


class Add(Request[Total]):
    a: int


class NotFoundError(Exception):
    pass


class Agent:
    @handles
    def base(self, message: Base) -> str:
        return f"base {message.text}"

    @handles(raises=(NotFoundError,))
    async def either(self, message: Left | Right) -> None:
        raise NotFoundError

    @handles
    def later(self, message: DefinedLater) -> None: ...

    def ordinary(self, message: Stranger) -> None: ...


class DefinedLater(Message):
    pass


class Child(Agent):
    def base(self, message: Base) -> str:
        return f"child {message.text}"

    @handles
    def rest(self, message: Message) -> None: ...


def test_the_argument_selects_the_handler() -> None:
    table = handler_table(Agent)
    assert table.find(Base).method == "base"
    assert table.find(Left).method == table.find(Right).method == "either"
    assert table.find(DefinedLater).method == "later"


def test_a_handler_knows_its_kind_and_its_declared_errors() -> None:
    either = handler_table(Agent).find(Left)
    assert either.asynchronous
    assert either.raises == (NotFoundError,)
    assert not handler_table(Agent).find(Base).asynchronous


def test_a_subclass_of_a_message_goes_to_the_nearest_handler() -> None:
    assert handler_table(Agent).find(Derived).method == "base"


def test_without_a_handler_or_a_catch_all_the_message_is_unhandled() -> None:
    with pytest.raises(UnhandledMessageError):
        handler_table(Agent).find(Stranger)
    assert handler_table(Child).find(Stranger).method == "rest"


def test_an_override_without_the_decorator_stays_the_handler() -> None:
    handler = handler_table(Child).find(Base)
    assert getattr(Child(), handler.method)(Base("x")) == "child x"


@pytest.mark.parametrize("annotation", [Message, object, Any, "Message | Left"])
def test_catch_alls(annotation: Any) -> None:
    cls = type("Everything", (), {"everything": handles(annotated(annotation))})
    assert HandlerTable(cls).find(Right).method == "everything"


def test_annotations_may_name_classes_of_the_enclosing_function() -> None:
    class Local(Message):
        x: int

    class LocalAgent:
        @handles
        def local(self, message: Local) -> None: ...

    assert handler_table(LocalAgent).find(Local).method == "local"


def annotated(annotation: object) -> Any:
    def method(self: object, message: object) -> None: ...

    method.__annotations__["message"] = annotation
    return method


def test_unusable_handlers_are_refused() -> None:
    def none(self: object) -> None: ...

    with pytest.raises(TypeError, match="exactly one message"):
        handles(none)
    with pytest.raises(TypeError, match="by annotation"):
        handles(eval("lambda self, message: None"))
    for annotation in (3, "3", list, "Undefined"):
        with pytest.raises(TypeError, match=r"no message type|not defined"):
            HandlerTable(type("NoType", (), {"number": handles(annotated(annotation))}))


def test_two_handlers_for_one_message_are_refused() -> None:
    class Twice:
        @handles
        def one(self, message: Left) -> None: ...
        @handles
        def two(self, message: Left | Right) -> None: ...

    with pytest.raises(TypeError, match="Left twice: one, two"):
        HandlerTable(Twice)


def test_two_catch_alls_are_refused() -> None:
    class Twice:
        @handles
        def one(self, message: Message) -> None: ...
        @handles
        def two(self, message: object) -> None: ...

    with pytest.raises(TypeError, match="two catch-alls"):
        HandlerTable(Twice)


def test_bodies_are_read_as_what_the_handler_takes() -> None:
    table = handler_table(Agent)
    assert table.decode("Base", 1, b'{"text":"x"}') == Base("x")
    assert table.decode("Derived", 1, b'{"text":"x","more":2}') == Derived("x", 2)
    with pytest.raises(UndecodableMessageError):
        table.decode("Base", 2, b'{"text":"x"}')
    with pytest.raises(UndecodableMessageError):
        table.decode("Base", 1, b'{"text":1}')
    with pytest.raises(UnhandledMessageError):
        table.decode("Stranger", 1, b'{"c":1}')


def test_replies_are_read_as_promised_or_as_known_or_as_plain_data() -> None:
    assert decode_reply("Total", 1, b'{"value":3}', expected=Total, near=None) == Total(3)
    assert decode_reply("Total", 1, b'{"value":3}', expected=None, near=__name__) == Total(3)
    assert decode_reply("", 1, b"[1,2]", expected=None, near=None) == [1, 2]
    assert decode_reply("", 1, b"[1,2]", expected=list[int], near=None) == [1, 2]
    for name, version, body, expected in (("Nobody", 1, b"{}", None), ("", 1, b'["x"]', list[int])):
        with pytest.raises(UndecodableMessageError):
            decode_reply(name, version, body, expected=expected, near=None)
