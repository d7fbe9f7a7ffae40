"""Messages of one version read as another: step by step, by what the newer class says.

The newer class knows the older one, never the other way round: `upgrade_from` where it is received,
`downgrade_to` where it is sent to somebody who has not heard of it yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from agentbus.agents.message import Message, decode_message
from agentbus.errors import UndecodableMessageError

M = TypeVar("M", bound=Message)
Fields = dict[str, Any]


def can_upgrade(cls: type[Message]) -> bool:
    """Whether the class says how it reads older versions."""
    return cls.__wire_version__ > 1 and _function(cls.upgrade_from) is not _function(Message.upgrade_from)


def can_downgrade(cls: type[Message]) -> bool:
    """Whether the class says what agents get that only know older versions."""
    return cls.__wire_version__ > 1 and _function(cls.downgrade_to) is not _function(Message.downgrade_to)


def _function(method: Any) -> object:
    return getattr(method, "__func__", method)


def upgrade(cls: type[M], version: int, body: msgspec.Raw | bytes) -> M:
    """Read a body of an older version.

    Raises:
        UndecodableMessageError: it is no object, a step raised, or the last one's fields do not fit.
    """
    try:
        fields = msgspec.json.decode(body, type=Fields)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _misfit(cls, version, error) from None
    for each in range(version, cls.__wire_version__):
        step = _step(cls, cls.upgrade_from, each, fields)
        if isinstance(step, cls):
            return step
        fields = step
    try:
        return msgspec.convert(fields, cls)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _misfit(cls, version, error) from None


def downgrade(message: Message, version: int) -> msgspec.Raw:
    """Give the body of a message in an older version.

    Raises:
        UndecodableMessageError: a step raised.
        TypeError: the message, or what a step gave, has no JSON form.
    """
    cls = type(message)
    fields: Fields = msgspec.json.decode(msgspec.json.encode(message), type=Fields)
    for each in range(cls.__wire_version__ - 1, version - 1, -1):
        fields = _step(cls, cls.downgrade_to, each, fields)
    return msgspec.Raw(msgspec.json.encode(fields))


def convert_message(wanted: type[M], message: Message) -> M:
    """Give a message of this process as another version of itself.

    Raises:
        UndecodableMessageError: see `upgrade` and `downgrade`.
    """
    version = message.__wire_version__
    if version < wanted.__wire_version__:
        return upgrade(wanted, version, msgspec.json.encode(message))
    return decode_message(wanted, downgrade(message, wanted.__wire_version__))


def _step(cls: type[Message], step: Callable[[int, Fields], Any], version: int, fields: Fields) -> Any:
    try:
        return step(version, fields)
    except UndecodableMessageError:
        raise
    except Exception as error:
        name = cls.__wire_name__
        raise UndecodableMessageError(
            f"{name!r} could not be converted at version {version}: {type(error).__qualname__}"
        ) from error


def _misfit(cls: type[Message], version: int, error: Exception) -> UndecodableMessageError:
    name, own = cls.__wire_name__, cls.__wire_version__
    return UndecodableMessageError(f"version {version} of {name!r} does not fit version {own}: {error}")
