"""Payloads inside of events: kept as the JSON text that their author wrote, decoded when somebody reads them.

The slot of a field keeps the text, so that an event encodes to JSON without ever having been decoded; the
value goes into the instance's dict, where every later reader finds it first (`functools.cached_property` does
the same).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Raw, Struct

from agentbus.protocol.codec import encode_data

T = TypeVar("T")
E = TypeVar("E", bound=type[Struct])
LONGEST_SHOWN_BYTES = 256

_decode = msgspec.json.Decoder().decode


class Event(Struct, frozen=True):
    """What every event is: a frozen Struct."""


class DecodedWhenRead:
    """A field whose slot keeps the JSON text; its first reader puts the decoded value before it.

    It defines no `__set__`, so the value in the instance's dict takes precedence from then on.
    """

    __slots__ = ("_name", "_read")

    def __init__(self, cls: type[Struct], name: str) -> None:
        self._read: Any = cls.__dict__[name].__get__
        self._name = name

    def __get__(self, event: Struct | None, owner: type[Struct] | None = None) -> Any:
        if event is None:
            return self
        value = self._read(event, owner)
        if value.__class__ is Raw:
            value = _decode(value)
        vars(event)[self._name] = value
        return value

    def stored(self, event: Struct) -> Any:
        """Give what the slot keeps."""
        return self._read(event, None)


def decoded_when_read(*names: str) -> Callable[[E], E]:
    """Make fields of a `Payloads` decode when they are first read."""

    def decorate(cls: E) -> E:
        for name in names:
            setattr(cls, name, DecodedWhenRead(cls, name))
        return cls

    return decorate


@lru_cache(maxsize=256)
def _decoder(type_: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast("Any", type_))


class Payloads(Event, frozen=True, dict=True, eq=False):
    """Equality, hash and repr over decoded payloads; what `decoded_when_read` needs."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__struct_fields__)

    def __hash__(self) -> int:
        return hash((type(self), *(value for _, value in self._plain_fields())))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self._shown(name)}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({shown})"

    def _plain_fields(self) -> Iterator[tuple[str, Any]]:
        for name in self.__struct_fields__:
            if not isinstance(getattr(type(self), name), DecodedWhenRead):
                yield name, getattr(self, name)

    def _shown(self, name: str) -> str:
        text = _stored(self, name)
        if not isinstance(text, Raw):
            return repr(getattr(self, name))
        size = len(memoryview(text))
        if size > LONGEST_SHOWN_BYTES:
            return f"<{size} bytes of JSON>"
        try:
            return repr(getattr(self, name))
        except (ValueError, RecursionError):
            return f"<{size} bytes>"


def _stored(event: Struct, name: str) -> Any:
    field = getattr(type(event), name)
    return field.stored(event) if isinstance(field, DecodedWhenRead) else getattr(event, name)


class WithData(Payloads, frozen=True, dict=True, eq=False):
    """The three ways to read `data`."""

    @property
    def raw(self) -> bytes:
        """The JSON text of `data`, byte for byte as its author wrote it."""
        data = _stored(self, "data")
        return bytes(data) if isinstance(data, Raw) else encode_data(data)

    def data_as(self, type_: type[T]) -> T:
        """Decode `data` straight into a Struct, a dataclass or any other type that msgspec knows.

        Raises:
            msgspec.ValidationError: it does not fit.
        """
        return cast("T", _decoder(cast("Hashable", type_)).decode(self.raw))
