"""The list of agents that this node hosts, as it is told to others: whole in a hello, then as deltas."""

from __future__ import annotations

from collections.abc import Iterator

from agentbus.agents.directory import (
    AgentEntry,
    Delta,
    DirectoryMessage,
    Hello,
    NodeEntry,
    Page,
    split_changes,
    split_entry,
)
from agentbus.agents.nodes import NodeRecord

FRAME_BYTES = 400


class OwnList:
    """Changes that wait to be told, and the messages that tell them.

    Args:
        namespace: of the messages.
        page_bytes: bytes of JSON that one message may take.
    """

    def __init__(self, namespace: str, page_bytes: int) -> None:
        self._namespace = namespace
        self._room = page_bytes - FRAME_BYTES
        self._added: dict[str, AgentEntry] = {}
        self._removed: dict[str, None] = {}

    def limit(self, page_bytes: int) -> None:
        """Keep every message below so many bytes."""
        self._room = page_bytes - FRAME_BYTES

    def add(self, entry: AgentEntry) -> None:
        """List an agent, or list it otherwise than before."""
        self._added[entry.name] = entry
        self._removed.pop(entry.name, None)

    def remove(self, name: str) -> None:
        """Take an agent off the list."""
        self._added.pop(name, None)
        self._removed[name] = None

    def take_deltas(self, record: NodeRecord) -> Iterator[Delta]:
        """Give the changes since the last call as deltas on top of a record's version."""
        if not self._added and not self._removed:
            return
        removed = [name for name in self._removed if name in record.agents]
        changes = list(split_changes(self._added.values(), removed, self._room))
        self._added, self._removed = {}, {}
        for version, (added, gone) in enumerate(changes, record.version + 1):
            yield Delta(self._namespace, record.stamp, version, added, gone)

    def introduction(self, record: NodeRecord, *, want: int | None) -> Iterator[DirectoryMessage]:
        """Give the messages that tell the whole list: a hello, then pages for what does not fit into it."""
        whole = NodeEntry(
            record.stamp, record.version, agents=tuple(record.agents.values()), peer=record.peer
        )
        first, *rest = split_entry(whole, self._room)
        yield Hello(self._namespace, first, want=want)
        for part in rest:
            yield Page(self._namespace, (part,))
