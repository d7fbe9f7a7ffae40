"""Errors across process borders: a name and a few plain fields, rebuilt from known classes only.

Nothing is imported or unpickled on behalf of a peer. Three kinds travel: our own `AgentError`s and
`RuntimeFault`s by class name with their fields; exceptions that a handler declared with
`@handles(raises=…)`, by qualified name, for receivers that have declared them too; and everything else as
`AgentFailed`.
"""

from __future__ import annotations

import inspect
from decimal import Decimal, InvalidOperation
from typing import Any, cast

import msgspec

from agentbus import errors
from agentbus.errors import AgentError, AgentFailed, EncodeError, RuntimeFault

MAX_TEXT = 4000
_DECIMAL = "decimal"
_OWN: dict[str, type[Exception]] = {
    name: cls
    for name, cls in vars(errors).items()
    if inspect.isclass(cls) and issubclass(cls, AgentError | RuntimeFault | EncodeError)
}
_declared: dict[str, type[Exception]] = {}


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error on the wire.

    Attributes:
        kind: class name of an own error, or `declared`.
        text: the error's text, cut at 4000 characters.
        fields: an own error's fields, those that are plain values.
        origin: `module:qualname` of a declared exception.
        arguments: its constructor's positional arguments as JSON values.
    """

    kind: str
    text: str = ""
    fields: dict[str, Any] = {}
    origin: str | None = None
    arguments: list[Any] = []


def origin_of(cls: type[BaseException]) -> str:
    """Name a class as `module:qualname`."""
    return f"{cls.__module__}:{cls.__qualname__}"


def declare_error(cls: type[Exception]) -> None:
    """Let this process rebuild an exception that a remote handler declares with `@handles(raises=…)`."""
    _declared[origin_of(cls)] = cls


def describe(error: BaseException, *, declared: bool = False) -> Failure:
    """Put an error into its wire form.

    Args:
        error: what was raised.
        declared: it is a reply, not a failure: the handler announced it with `raises=`, unless it is ours.
    """
    text = encodable(str(error)[:MAX_TEXT])
    own = _own_name(type(error))
    if own is not None:
        fields = {name: _to_wire(value) for name, value in vars(error).items() if _is_plain(value)}
        return Failure(own, text, fields)
    if declared:
        return Failure("declared", text, origin=origin_of(type(error)), arguments=_plain_list(error.args))
    return Failure("AgentFailed", text, {"error_type": type(error).__qualname__, "error_message": text})


def encodable(text: str) -> str:
    """Give a text as UTF-8 can say it: names of files may have half characters, which become `?`."""
    return text.encode(errors="replace").decode()


def is_own(error: BaseException) -> bool:
    """Whether an error is one of ours; a program's own is none, whatever it refines."""
    return _own_name(type(error)) is not None


def _own_name(cls: type[BaseException]) -> str | None:
    """Name the class; one of ours that is not in the tree travels as the one that it refines."""
    if cls.__module__.partition(".")[0] != "agentbus":
        return None
    return next((each.__name__ for each in cls.__mro__ if _OWN.get(each.__name__) is each), None)


def rebuild(failure: Failure) -> Exception:
    """Make the exception that the asker sees. An unknown one becomes `AgentFailed`."""
    if failure.kind == "declared":
        return _rebuild_declared(failure)
    cls = _OWN.get(failure.kind)
    if cls is None:
        return AgentFailed(failure.kind, failure.text)
    error = cls.__new__(cls)
    error.args = (failure.text,)
    fields = {name: _from_wire(each) for name, each in failure.fields.items() if not name.startswith("_")}
    error.__dict__.update(fields)
    return error


def _rebuild_declared(failure: Failure) -> Exception:
    cls = _declared.get(failure.origin or "")
    if cls is not None:
        try:
            return cls(*failure.arguments)
        except TypeError:
            pass  # a constructor that wants more than `args` tells: the text still gets through below
    return AgentFailed(failure.origin or "unknown", failure.text)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(_is_plain(each) for each in cast("tuple[object, ...]", value))
    return value is None or isinstance(value, str | int | float | bool | Decimal)


def _to_wire(value: Any) -> Any:
    """Give a field's JSON form; a `Decimal` says that it is one, so that it stays exact."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, tuple):
        parts = cast("tuple[object, ...]", value)
        return tuple(encodable(each) if isinstance(each, str) else each for each in parts)
    return {_DECIMAL: str(value)} if isinstance(value, Decimal) else value


def _from_wire(value: object) -> object:
    if isinstance(value, list):
        return tuple(cast("list[object]", value))
    if isinstance(value, dict):
        return _decimal(cast("dict[str, object]", value).get(_DECIMAL))
    return value


def _decimal(text: object) -> Decimal:
    try:
        return Decimal(str(text))
    except InvalidOperation:
        return Decimal(0)


def _plain_list(values: tuple[object, ...]) -> list[Any]:
    try:
        plain = msgspec.to_builtins(list(values))
        msgspec.json.encode(plain)  # text that UTF-8 can't say is a ValueError
        return cast("list[Any]", plain)
    except (TypeError, ValueError, RecursionError):
        return [encodable(str(value)[:MAX_TEXT]) for value in values]
