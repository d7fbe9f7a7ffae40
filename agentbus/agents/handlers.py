"""Handlers: the argument's annotation says which message a method takes.

    @handles
    def summarise(self, task: Summarise) -> Summary: ...

    @handles(raises=(NotFound,))
    async def look_up(self, task: Find | FindAll) -> Found: ...

    @handles
    def anything_else(self, message: Message) -> None: ...      # the catch-all

One lookup by type picks the method. The table of a class is built once, on first use, so that annotations
may name classes that are defined further down.
"""

from __future__ import annotations

import inspect
import types
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar, Union, cast, get_args, get_origin, overload

import msgspec

from agentbus.agents.failures import declare_error
from agentbus.agents.message import Message, MessageMeta, decode_message, message_types, unknown_version
from agentbus.agents.versions import can_downgrade, can_upgrade, convert_message, upgrade
from agentbus.errors import (
    BudgetExhausted,
    DeadlockError,
    UndecodableMessageError,
    UnhandledMessageError,
)

ANSWERS: tuple[type[Exception], ...] = (DeadlockError, BudgetExhausted)
"""What is an answer from every handler, declared or not: it says something of the ask, not of the agent."""

Function = TypeVar("Function", bound=Callable[..., Any])
_MARK = "__agentbus_handler__"


class Mark(msgspec.Struct, frozen=True):
    """What `@handles` leaves on a function."""

    raises: tuple[type[Exception], ...]
    scope: Mapping[str, Any]


class Handler(msgspec.Struct, frozen=True):
    """One method that takes messages.

    Attributes:
        method: its name; looked up on the instance, so that a subclass may override it undecorated.
        types: the message types that it takes; empty for the catch-all.
        raises: exceptions that it declares as replies.
        asynchronous: it is `async def`.
        streams: it is a generator: it yields chunks instead of giving one reply.
        convert: makes the version of the message that the method takes; None where it takes what came.
    """

    method: str
    types: tuple[type[Message], ...]
    raises: tuple[type[Exception], ...]
    asynchronous: bool
    streams: bool = False
    convert: Callable[[Message], Message] | None = None

    @property
    def answers(self) -> tuple[type[Exception], ...]:
        """Exceptions that are replies, not failures."""
        return (*self.raises, *ANSWERS)


@overload
def handles(function: Function, /) -> Function: ...
@overload
def handles(*, raises: tuple[type[Exception], ...] = ()) -> Callable[[Function], Function]: ...
def handles(function: Any = None, /, *, raises: tuple[type[Exception], ...] = ()) -> Any:
    """Make a method a handler of the messages that its argument's annotation names.

    Args:
        function: the method, when used without parentheses.
        raises: exceptions that the asker gets as they are; the agent has not failed when it raises them.

    Raises:
        TypeError: the method does not take exactly one annotated argument besides `self`.
    """
    frame = inspect.currentframe()
    scope = _enclosing_names(frame.f_back if frame else None)

    def mark(method: Function) -> Function:
        _message_parameter(method)
        for error in raises:
            declare_error(error)
        setattr(method, _MARK, Mark(raises, scope))
        return method

    return mark if function is None else mark(function)


def _enclosing_names(frame: types.FrameType | None) -> Mapping[str, Any]:
    """Give the names around a class body that is inside a function: annotations may mean those."""
    around = frame.f_back if frame else None
    if around is None or around.f_code.co_name == "<module>":
        return {}
    return {name: value for name, value in around.f_locals.items() if isinstance(value, type)}


def _message_parameter(method: Callable[..., Any]) -> str:
    parameters = list(inspect.signature(method).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) != 2 or len(parameters) != 2:
        raise TypeError(f"{method.__qualname__} must take exactly one message besides self")
    if positional[1].annotation is inspect.Parameter.empty:
        raise TypeError(f"{method.__qualname__} must say by annotation which message it takes")
    return positional[1].name


def _annotated_types(method: Callable[..., Any], mark: Mark) -> tuple[type[Message], ...]:
    """Resolve which types a handler takes; the empty tuple is the catch-all."""
    name = _message_parameter(method)
    annotation = inspect.get_annotations(method)[name]
    if isinstance(annotation, str):
        annotation = _evaluate(annotation, method, mark)
    if annotation in (Any, object, Message):
        return ()
    origin: Any = get_origin(annotation)
    union = origin is Union or origin is types.UnionType
    found = tuple(get_origin(part) or part for part in (get_args(annotation) if union else (annotation,)))
    if any(part in (Any, object, Message) for part in found):
        return ()
    if not all(isinstance(part, type) and issubclass(part, Message) for part in found):
        raise TypeError(f"{method.__qualname__}: {annotation!r} is no message type or union of some")
    return found


def _evaluate(annotation: str, method: Callable[..., Any], mark: Mark) -> Any:
    names = getattr(method, "__globals__", {})
    try:
        return eval(annotation, names, dict(mark.scope))  # noqa: S307 -- the program's own annotation
    except NameError as error:
        raise TypeError(
            f"{method.__qualname__}: its annotation {annotation!r} names what is not defined"
        ) from error


class HandlerTable:
    """The handlers of one agent class, by message type.

    Attributes:
        handlers: all of them.
    """

    def __init__(self, cls: type) -> None:
        """Read the class and its ancestors.

        Raises:
            TypeError: two methods take the same message, or an annotation is unusable.
        """
        self._by_type: dict[type, Handler] = {}
        self._catch_all: Handler | None = None
        self._by_wire: dict[tuple[str, int], type[Message]] = {}
        self.handlers = tuple(_scan(cls))
        self._versions: dict[str, list[type[Message]]] = {}
        for handler in self.handlers:
            self._enter(handler, cls)
        for _, taken in sorted(self._by_wire.items()):
            self._versions.setdefault(taken.__wire_name__, []).append(taken)
        self._found: dict[type, Handler | None] = dict(self._by_type)

    def _enter(self, handler: Handler, cls: type) -> None:
        if not handler.types:
            if self._catch_all is not None:
                raise TypeError(
                    f"{cls.__qualname__} has two catch-alls: {self._catch_all.method}, {handler.method}"
                )
            self._catch_all = handler
        for taken in handler.types:
            if taken in self._by_type:
                other = self._by_type[taken].method
                raise TypeError(f"{cls.__qualname__} takes {taken.__name__} twice: {other}, {handler.method}")
            self._by_type[taken] = handler
            self._by_wire[taken.__wire_name__, taken.__wire_version__] = taken

    def find(self, message_type: type) -> Handler:
        """Give the handler for a type: its own, another version's, its nearest ancestor's, the catch-all.

        Raises:
            UnhandledMessageError: there is none.
        """
        handler = self._found.get(message_type)
        if handler is None:
            handler = self._found[message_type] = self._look_up(message_type)
        if handler is None:
            raise UnhandledMessageError(f"there is no handler for {message_type.__name__}")
        return handler

    def _look_up(self, message_type: type) -> Handler | None:
        if isinstance(message_type, MessageMeta):
            sent = cast("type[Message]", message_type)
            wanted = self._newer(sent.__wire_name__, sent.__wire_version__) or self._older(sent)
            if wanted is not None:
                convert = partial(convert_message, wanted)
                return msgspec.structs.replace(self._by_type[wanted], convert=convert)
        nearest = (self._by_type[base] for base in message_type.__mro__ if base in self._by_type)
        return next(nearest, self._catch_all)

    # -- versions --------------------------------------------------------------------------------------------

    def _newer(self, name: str, version: int) -> type[Message] | None:
        """Give the class that a handler takes and that says how to read this older version."""
        handled = self._versions.get(name, ())
        return next((cls for cls in handled if cls.__wire_version__ > version and can_upgrade(cls)), None)

    def _older(self, sent: type[Message]) -> type[Message] | None:
        """Give the class that a handler takes and of which this newer one says how it is written."""
        if not can_downgrade(sent):
            return None
        version = sent.__wire_version__
        handled = self._versions.get(sent.__wire_name__, ())
        return next((cls for cls in reversed(handled) if cls.__wire_version__ < version), None)

    def readable(self, name: str) -> tuple[int, ...]:
        """Give the versions of a wire name that can be read and handled, the lowest first."""
        handled = self._versions.get(name, ())
        known = [version for version in message_types.versions(name) if self._takes(name, version)]
        versions = {cls.__wire_version__ for cls in handled}.union(known)
        for cls in (*handled, *(message_types.find(name, version) for version in known)):
            if can_upgrade(cls):
                versions.update(range(1, cls.__wire_version__))
        return tuple(sorted(versions))

    def _takes(self, name: str, version: int) -> bool:
        try:
            self.find(message_types.find(name, version))
        except (UndecodableMessageError, UnhandledMessageError):
            return False
        return True

    def _known(self, name: str, version: int) -> type[Message] | None:
        """Give the class that an older version is read as; None to read it as what it is.

        Raises:
            UndecodableMessageError: unknown name or version.
            UnhandledMessageError: the class is known and no handler takes it.
        """
        newer = self._newer(name, version)
        if newer is not None:
            return newer
        known = message_types.versions(name)
        if version not in known:
            later = (message_types.find(name, each) for each in known if each > version)
            newer = next((cls for cls in later if can_upgrade(cls)), None)
        if newer is None and version not in known:
            readable = self.readable(name)
            raise UndecodableMessageError(unknown_version(name, version, readable), readable)
        self.find(newer or message_types.find(name, version))
        return newer

    # -- bodies ----------------------------------------------------------------------------------------------

    def check_known(self, name: str, version: int) -> None:
        """Refuse early what can't be read or handled, without looking into any body.

        Raises:
            UndecodableMessageError: unknown name or version.
            UnhandledMessageError: the class is known and no handler takes it.
        """
        if (name, version) not in self._by_wire:
            self._known(name, version)

    def decode(self, name: str, version: int, body: msgspec.Raw | bytes) -> Message:
        """Read a body as the class that a handler names, else as the class this process knows by that name.

        Raises:
            UndecodableMessageError: unknown name or version, or a body that does not fit.
            UnhandledMessageError: the class is known and no handler takes it.
        """
        cls = self._by_wire.get((name, version))
        if cls is None:
            newer = self._known(name, version)
            if newer is not None:
                return upgrade(newer, version, body)
            cls = message_types.find(name, version)
        return decode_message(cls, body)


def _scan(cls: type) -> Iterator[Handler]:
    seen: set[str] = set()
    for ancestor in cls.__mro__:
        for name, value in vars(ancestor).items():
            mark = getattr(value, _MARK, None)
            if not isinstance(mark, Mark) or name in seen:
                continue
            seen.add(name)
            in_use = getattr(cls, name)
            chunked = inspect.isasyncgenfunction(in_use)
            asynchronous = chunked or inspect.iscoroutinefunction(in_use)
            streams = chunked or inspect.isgeneratorfunction(in_use)
            yield Handler(name, _annotated_types(value, mark), mark.raises, asynchronous, streams)


_tables: weakref.WeakKeyDictionary[type, HandlerTable] = weakref.WeakKeyDictionary()


def handler_table(cls: type) -> HandlerTable:
    """Give the table of an agent class, built on first use.

    Raises:
        TypeError: see `HandlerTable`.
    """
    table = _tables.get(cls)
    if table is None:
        table = _tables[cls] = HandlerTable(cls)
    return table


def _read_reply(
    name: str, version: int, body: msgspec.Raw | bytes, expected: Any, near: str | None
) -> Message:
    """Read a reply as what was promised, of whatever version it is; else as what this process knows."""
    if isinstance(expected, MessageMeta) and expected.__wire_name__ == name:
        promised = cast("type[Message]", expected)
        if promised.__wire_version__ == version:
            return decode_message(promised, body)
        if promised.__wire_version__ > version and can_upgrade(promised):
            return upgrade(promised, version, body)
    return decode_message(message_types.find(name, version, near=near), body)


def decode_reply(
    name: str, version: int, body: msgspec.Raw | bytes, *, expected: Any, near: str | None
) -> Any:
    """Read a reply.

    Args:
        name: its wire name; empty for a plain JSON value.
        version: its version.
        body: its JSON.
        expected: what `Request[…]` promises, or None.
        near: the module of the request's class, see `MessageTypes.find`.

    Raises:
        UndecodableMessageError: it cannot be read.
    """
    if name:
        return _read_reply(name, version, body, expected, near)
    plain: Any = Any if expected is None else expected
    try:
        return msgspec.json.decode(body, type=plain)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableMessageError(f"the reply does not fit {expected!r}: {error}") from None
