"""Messages: frozen Structs with a name and a version on the wire, and the table that finds them again.

A class is its own schema:

    class Summarise(Message):                  # wire name "Summarise", version 1
        text: str

    class Search(Request[Hits], version=2):    # `ref.ask(Search(…))` is known to give `Hits`
        query: str

The wire name and the version can be set as class arguments (`wire_name=`, `version=`) or as the attributes
`__wire_name__` and `__wire_version__`. A subclass is a message of its own: it inherits fields, not the name.
How one version is read as another is in `versions`.
"""

from __future__ import annotations

import weakref
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Self,
    TypeVar,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
)

import msgspec

from agentbus.errors import UndecodableMessageError

MAX_WIRE_NAME_LENGTH = 128
Reply = TypeVar("Reply")
M = TypeVar("M", bound="Message")


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class MessageMeta(msgspec.StructMeta):
    """Give every message class its wire name and version, and enter it in the table of types."""

    def __new__(  # noqa: PYI034 -- PEP 673 has no Self in metaclasses
        cls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        wire_name: str | None = None,
        version: int | None = None,
        **config: Any,
    ) -> MessageMeta:
        """Make the class.

        Raises:
            ValueError: the wire name is empty or too long, or the version is below 1.
        """
        made = super().__new__(cls, name, bases, namespace, **config)
        made.__wire_name__ = _checked_name(wire_name or namespace.get("__wire_name__") or name)
        made.__wire_version__ = _checked_version(version or namespace.get("__wire_version__", 1))
        message_types.add(cast("type[Message]", made))
        return made

    if TYPE_CHECKING:
        __wire_name__: str
        __wire_version__: int


def _checked_name(name: str) -> str:
    if not 0 < len(name) <= MAX_WIRE_NAME_LENGTH:
        raise ValueError(f"a wire name has 1 to {MAX_WIRE_NAME_LENGTH} characters, this one has {len(name)}")
    return name


def _checked_version(version: int) -> int:
    if version < 1:
        raise ValueError(f"versions start at 1, not {version}")
    return version


class MessageTypes:
    """Which class stands for a wire name and version in this process.

    Classes are held weakly: a class that nothing else uses any more is forgotten. A class that is defined
    again under the same module and qualified name (a reloaded module, a notebook cell) takes the former's
    place.
    """

    def __init__(self) -> None:
        self._classes: dict[tuple[str, int], list[weakref.ref[type[Message]]]] = {}

    def add(self, cls: type[Message]) -> None:
        """Enter a class; `Message` does this for every subclass."""
        key = (cls.__wire_name__, cls.__wire_version__)
        others = [known for known in self._alive(key) if _location(known) != _location(cls)]
        self._classes[key] = [weakref.ref(known) for known in (*others, cls)]

    def find(self, name: str, version: int, *, near: str | None = None) -> type[Message]:
        """Give the class of a wire name and version.

        Args:
            name: the wire name.
            version: the version, from 1.
            near: the module whose class is meant where several modules define that name.

        Raises:
            UndecodableMessageError: this process knows no such class, or cannot tell which one is meant.
        """
        known = self._classes.get((name, version), ())
        if len(known) == 1 and (only := known[0]()) is not None:
            return only
        found = self._alive((name, version))
        if len(found) > 1:
            found = [cls for cls in found if cls.__module__ == near] or found
        if not found:
            versions = self.versions(name)
            raise UndecodableMessageError(unknown_version(name, version, versions), versions)
        if len(found) > 1:
            where = ", ".join(sorted(_location(cls) for cls in found))
            raise UndecodableMessageError(f"{name!r} is the wire name of several classes: {where}")
        return found[0]

    def versions(self, name: str) -> tuple[int, ...]:
        """Give the versions of a wire name that this process has classes for, the lowest first."""
        return tuple(sorted(key[1] for key in list(self._classes) if key[0] == name and self._alive(key)))

    def _alive(self, key: tuple[str, int]) -> list[type[Message]]:
        return [cls for known in self._classes.get(key, ()) if (cls := known()) is not None]


def unknown_version(name: str, version: int, known: tuple[int, ...]) -> str:
    """Say that a version of a message cannot be read, and which ones can."""
    others = f"; it knows {', '.join(map(str, known))}" if known else ""
    return f"this process knows no message {name!r} of version {version}{others}"


def _location(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


message_types = MessageTypes()


class Message(msgspec.Struct, metaclass=MessageMeta, frozen=True):
    """What agents send each other: subclass it and list the fields.

    Instances are immutable, so a local recipient gets the very object that was sent.
    """

    __wire_name__: ClassVar[str]
    __wire_version__: ClassVar[int]

    @classmethod
    def upgrade_from(cls, version: int, old: dict[str, Any]) -> Self | dict[str, Any]:
        """Say how this class reads an older version; override it where the fields have changed.

        It is asked step by step: once for version 1, then for 2, up to its own. It runs where the message is
        read; what it raises makes the message undecodable there.

        Args:
            version: whose fields `old` has.
            old: the fields as JSON values.

        Returns:
            The fields of version `version` + 1, or the finished message, which ends the steps.
        """
        del old
        name = cls.__wire_name__
        raise UndecodableMessageError(f"{name!r} does not say how to read its version {version}")

    @classmethod
    def downgrade_to(cls, version: int, new: dict[str, Any]) -> dict[str, Any]:
        """Say what an agent that only knows an older version gets; override it in a fleet of both.

        It is asked step by step, from this class's own version down. It runs on the I/O loop, so it must not
        wait for anything.

        Args:
            version: whose fields are wanted.
            new: the fields of version `version` + 1 as JSON values.
        """
        del new
        name = cls.__wire_name__
        raise UndecodableMessageError(f"{name!r} does not say how to write its version {version}")


class Request(Message, Generic[Reply]):
    """A message that says what its reply is: `class Search(Request[Hits])`, then its fields."""


class Streaming(Message, Generic[Reply]):
    """A message that says what its reply's chunks are: `class Prompt(Streaming[Token])`, then its fields."""


def reply_type(cls: type) -> Any:
    """Give what a message class declares as its reply or its chunks, or None where it declares nothing."""
    for ancestor in cls.__mro__:
        for base in getattr(ancestor, "__orig_bases__", ()):
            if get_origin(base) in (Request, Streaming) and not isinstance(get_args(base)[0], TypeVar | str):
                return get_args(base)[0]
    return None


def decode_message(cls: type[M], body: msgspec.Raw | bytes) -> M:
    """Read a body as one class of message.

    Raises:
        UndecodableMessageError: the body does not fit the class. The text says where, and repeats no value.
    """
    try:
        return msgspec.json.decode(body, type=cls)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableMessageError(
            f"the body does not fit {cls.__wire_name__!r} version {cls.__wire_version__}: {error}"
        ) from None
