"""What agents are looked for by. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping

import msgspec

from agentbus.agents.directory import AgentEntry, MetadataValue


class Query(msgspec.Struct, frozen=True):
    """What an agent has to have, all of it; by default any agent fits.

    Attributes:
        name: on its node, or None.
        capability: one of its capabilities, or None.
        metadata: facts that its own metadata holds among others.
    """

    name: str | None = None
    capability: str | None = None
    metadata: Mapping[str, MetadataValue] = {}

    def matches(self, entry: AgentEntry) -> bool:
        """Whether an agent fits."""
        return (
            (self.name is None or entry.name == self.name)
            and (self.capability is None or self.capability in entry.capabilities)
            and all(same_value(entry.metadata.get(key), value) for key, value in self.metadata.items())
        )

    def words(self) -> Iterator[Hashable]:
        """Give the words of an index under which every agent that fits is entered."""
        if self.name is not None:
            yield "name", self.name
        if self.capability is not None:
            yield "capability", self.capability
        for key, value in self.metadata.items():
            yield _fact(key, value)

    def __str__(self) -> str:
        facts = [f"name={self.name!r}"] if self.name is not None else []
        facts += [f"capability={self.capability!r}"] if self.capability is not None else []
        facts += [f"metadata={dict(self.metadata)!r}"] if self.metadata else []
        return ", ".join(facts) or "any agent"


def words_of(entry: AgentEntry) -> Iterator[Hashable]:
    """Give the words under which an agent is entered in an index."""
    yield "name", entry.name
    for capability in set(entry.capabilities):
        yield "capability", capability
    for key, value in entry.metadata.items():
        yield _fact(key, value)


def same_value(one: object, other: object) -> bool:
    """Whether two values of metadata are the same; True is not 1, though Python calls them equal."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _fact(key: str, value: MetadataValue) -> Hashable:
    return "metadata", key, value, isinstance(value, bool)
