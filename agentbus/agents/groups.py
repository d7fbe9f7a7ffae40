"""Groups of listeners: of each group of a topic, usually one listener gets a message. Pure.

Every node that listens as part of a group says so in the directory. Each of them picks the same listener for
a message, by rendezvous hashing of the message's id over all that it knows of, and stays silent if that is
not one of its own. While nodes differ in what they know (somebody joined or left within the last moments, or
is cut off) a message may reach two listeners of a group, or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from agentbus.agents.directory import SEAT_MARK, AgentEntry
from agentbus.agents.nodes import NodeRecord, NodeState, NodeTable
from agentbus.agents.rendezvous import rendezvous
from agentbus.errors import InvalidNameError

MAX_PLACES = 100
"""Listeners that one node may have in one group of one topic for one type of message."""

MAX_GROUP_BYTES = 100
_PLACES = "places"


class Part(NamedTuple):
    """What listeners of one node share a seat for.

    Attributes:
        topic: they listen to it.
        group: they are part of it.
        kind: name and version of the messages that they take; "" for all.
    """

    topic: str
    group: str
    kind: str

    @property
    def seat(self) -> str:
        """Its name in the directory."""
        return SEAT_MARK.join(("", "group", *self))

    def entry(self, places: int) -> AgentEntry:
        """Give what the directory lists for so many listeners."""
        return AgentEntry(self.seat, metadata={_PLACES: places})


class Place(NamedTuple):
    """One listener of a group, as all nodes name it."""

    node: str
    part: Part
    number: int


def check_group(group: str) -> None:
    """Refuse a name that a group can't have.

    Raises:
        InvalidNameError: it is empty, too long, or holds control characters.
    """
    if not 0 < len(group.encode("utf-8", "replace")) <= MAX_GROUP_BYTES:
        raise InvalidNameError("group", f"1 to {MAX_GROUP_BYTES} bytes are allowed")
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in group):
        raise InvalidNameError("group", "it holds control characters")


def choose_place(message_id: str, own: Iterable[Place], others: Iterable[Place]) -> Place | None:
    """Pick the listener that gets a message; None if there is none."""
    return rendezvous(message_id, [*own, *others], _label)


def places_elsewhere(nodes: NodeTable, part: Part, own_node: str) -> Iterator[Place]:
    """Give the listeners of other nodes that are reached now."""
    for record in nodes.seated(part.seat):
        if record.stamp.node != own_node and record.state is NodeState.ALIVE:
            for number in range(_places(record, part)):
                yield Place(record.stamp.node, part, number)


def _places(record: NodeRecord, part: Part) -> int:
    entry = record.agents.get(part.seat)
    places = 0 if entry is None else entry.metadata.get(_PLACES, 1)
    return min(places, MAX_PLACES) if isinstance(places, int) else 1


def _label(place: Place) -> str:
    return SEAT_MARK.join((place.node, place.part.kind, str(place.number)))
