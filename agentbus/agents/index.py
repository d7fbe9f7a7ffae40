"""The index of the agents that a directory lists: by name, by capability, by each fact of their metadata.

One thread writes; any thread may read, and sees each agent as it was at some moment of the reading.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, NamedTuple

from agentbus.agents.address import Address
from agentbus.agents.directory import AgentEntry
from agentbus.agents.query import Query, words_of

if TYPE_CHECKING:
    from agentbus.agents.nodes import NodeRecord


class Place(NamedTuple):
    """An agent, and where it is.

    Attributes:
        record: its node.
        entry: as its node lists it.
        address: for messages.
    """

    record: NodeRecord
    entry: AgentEntry
    address: Address


Key = tuple[str, str]
"""Node id and agent's name."""


class AgentIndex:
    """Places by every word that a query may name."""

    def __init__(self) -> None:
        self._all: dict[Key, Place] = {}
        self._by_word: dict[Hashable, dict[Key, Place]] = {}

    def __len__(self) -> int:
        """Count the agents."""
        return len(self._all)

    def add(self, place: Place) -> None:
        """Enter an agent."""
        key = place.address.node, place.address.agent
        self._all[key] = place
        for word in words_of(place.entry):
            self._by_word.setdefault(word, {})[key] = place

    def remove(self, node: str, name: str) -> None:
        """Take an agent out; one that is not there is ignored."""
        place = self._all.pop((node, name), None)
        for word in () if place is None else words_of(place.entry):
            places = self._by_word[word]
            del places[node, name]
            if not places:
                del self._by_word[word]

    def find(self, query: Query) -> list[Place]:
        """Give the agents that fit, in the order in which they were entered.

        Only the agents under the rarest word of the query are looked at.
        """
        columns = [self._by_word.get(word, {}) for word in query.words()]
        if not columns:
            return list(self._all.values())
        rarest = list(min(columns, key=len).values())
        if len(columns) == 1:
            return rarest
        return [place for place in rarest if query.matches(place.entry)]
