"""Which method handles which message: a table per actor class, built once, read with one dictionary lookup.

    class Account(LoopActor):
        class Deposit(Struct, frozen=True):
            amount: int

        @receives(Deposit)
        def deposit(self, message: Deposit) -> int: ...

A subclass overrides a handler by overriding the method, or by claiming the message type with another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Handler = Callable[[Any, Any], Any]
HandlerTable = dict[type, Handler]
F = TypeVar("F", bound=Callable[..., Any])

_MARK = "_receives_types"
_MOST_REMEMBERED = 1024


def receives(*types: type) -> Callable[[F], F]:
    """Mark a method as the handler of messages of these types, and of their subclasses.

    Raises:
        TypeError: no class was given.
    """
    if not types:
        raise TypeError("@receives takes the classes of messages: @receives(Deposit)")

    def mark(method: F) -> F:
        setattr(method, _MARK, types)
        return method

    return mark


def build_table(cls: type) -> HandlerTable:
    """Collect the marked methods of a class: bases first, so that the most derived claim on a type wins.

    Raises:
        TypeError: one class claims a message type twice.
    """
    names: dict[type, str] = {}
    for base in reversed(cls.__mro__):
        names |= _claims(base)
    return {message_type: getattr(cls, name) for message_type, name in names.items()}


def _claims(cls: type) -> dict[type, str]:
    claims: dict[type, str] = {}
    for name, value in vars(cls).items():
        for message_type in getattr(value, _MARK, ()):
            if message_type in claims:
                other = claims[message_type]
                raise TypeError(
                    f"{cls.__qualname__}.{name} and .{other} both receive {message_type.__qualname__}"
                )
            claims[message_type] = name
    return claims


def find_handler(table: HandlerTable, message_type: type, fallback: Handler) -> Handler:
    """Find the handler of a type that has no row: that of its nearest base class, else `fallback`.

    The answer becomes a row, so that the next message of this type costs one lookup.
    """
    found = next((table[base] for base in message_type.__mro__ if base in table), fallback)
    if len(table) < _MOST_REMEMBERED:
        table[message_type] = found
    return found
