"""Topics on one node: who listens, what a broadcast looks like on the wire, what a listener takes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from agentbus.agents.delivery import Body
from agentbus.agents.groups import Part
from agentbus.agents.message import Message, decode_message, message_types
from agentbus.errors import UndecodableMessageError

_log = logging.getLogger("agentbus.agents")


class Cast(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="agentbus", tag="cast/1"):
    """A broadcast on the wire.

    Attributes:
        type: wire name of the message.
        version: of the type.
        body: its JSON.
        sender: address of the agent that sent it, or None.
        id: tells it from all others; by it each group picks its listener.
        topic: where the channel does not say it: on a channel that topics share.
    """

    type: str
    version: int
    body: msgspec.Raw
    sender: str | None = None
    id: str = ""
    topic: str | None = None


_decoder = msgspec.json.Decoder(Cast)


def decode_cast(data: bytes) -> Cast | None:
    """Read a broadcast; None if it is none."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Listener:
    """One handler of one topic.

    Args:
        kind: the messages that it takes: a class, or `Message` for all.
        put: hands something to its lane.
        group: of which usually one gets a message; None: this one gets every message.
    """

    def __init__(self, kind: type[Message], put: Callable[[Any], object], group: str | None = None) -> None:
        self._kind = kind
        self._put = put
        self.group = group

    @property
    def wire_kind(self) -> str:
        """What it takes, as the nodes of a group name it; "" for all."""
        return "" if self._kind is Message else kind_name(*_wire_type(self._kind))

    def offer(self, item: Message | Body) -> None:
        """Hand it over if it may be of the right kind."""
        if isinstance(item, Message):
            if isinstance(item, self._kind):
                self._put(item)
        elif self._kind is Message or (item.type, item.version) == _wire_type(self._kind):
            self._put(item)

    def read(self, item: Message | Body) -> Message | None:
        """Decode what came over the wire, on the lane; None, and a warning, if it can't be."""
        if isinstance(item, Message):
            return item
        try:
            kind = message_types.find(item.type, item.version) if self._kind is Message else self._kind
            return decode_message(kind, item.json)
        except UndecodableMessageError as error:
            _log.warning("a broadcast could not be read: %s", error)
            return None


def kind_name(wire_name: str, version: int) -> str:
    """Name a type of message for the nodes of a group."""
    return f"{wire_name}/{version}"


def _wire_type(kind: type[Message]) -> tuple[str, int]:
    return kind.__wire_name__, kind.__wire_version__


class Topics:
    """Who listens to what. Listeners of a group are kept apart, by what they take."""

    def __init__(self) -> None:
        self._listeners: dict[str, dict[object, Listener]] = {}
        self._parts: dict[str, dict[Part, dict[object, Listener]]] = {}

    def __contains__(self, topic: str) -> bool:
        return topic in self._listeners or topic in self._parts

    def add(self, topic: str, key: object, listener: Listener) -> Part | None:
        """Enter a listener; give the part of a group that it belongs to."""
        if listener.group is None:
            self._listeners.setdefault(topic, {})[key] = listener
            return None
        part = Part(topic, listener.group, listener.wire_kind)
        self._parts.setdefault(topic, {}).setdefault(part, {})[key] = listener
        return part

    def remove(self, topic: str, key: object) -> Part | None:
        """Remove a listener, if it is there; give the part of a group that it belonged to."""
        self._listeners.get(topic, {}).pop(key, None)
        if not self._listeners.get(topic, True):
            del self._listeners[topic]
        parts = self._parts.get(topic, {})
        for part, listeners in list(parts.items()):
            if listeners.pop(key, None) is not None:
                if not listeners:
                    del parts[part]
                if not parts:
                    del self._parts[topic]
                return part
        return None

    def listeners(self, topic: str) -> list[Listener]:
        """Give those who get every message of a topic."""
        return list(self._listeners.get(topic, {}).values())

    def members(self, part: Part) -> list[Listener]:
        """Give those of this node who share a part, in the order in which they came."""
        return list(self._parts.get(part.topic, {}).get(part, {}).values())

    def groups(self, topic: str) -> set[str]:
        """Name the groups that listen to a topic here."""
        return {part.group for part in self._parts.get(topic, ())}
