"""What outlives a hub's memory: the shape of stored histories, and who keeps them. The door to a disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from agentbus.protocol import PresencePeer


class Author:
    """Whose messages these are: one connection, and all others that name the same producer.

    Attributes:
        name: the producer that the connection named; None before it did.
    """

    __slots__ = ("name",)

    def __init__(self, name: str | None = None) -> None:
        self.name = name

    def is_same(self, other: Author | None) -> bool:
        """Tell whether both are one client."""
        return other is not None and (other is self or (self.name is not None and self.name == other.name))


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One message of a history.

    Attributes:
        offset: its number, from 1.
        at: Unix seconds at which it was accepted.
        sender: who published it.
        data: the payload.
        author: the connection that it came from; None for one from outside.
        size: bytes that it counts for.
    """

    offset: int
    at: float
    sender: PresencePeer
    data: msgspec.Raw
    author: Author | None
    size: int


ENTRY_BYTES = 256
"""What an entry counts for beside its payload and its sender's metadata."""


def entry_bytes(sender: PresencePeer, data: msgspec.Raw) -> int:
    """Say how many bytes an entry counts for."""
    return len(data) + ENTRY_BYTES + (0 if sender.metadata is None else len(sender.metadata))


class StoredChannel(msgspec.Struct, frozen=True):
    """What a store has of one channel.

    Attributes:
        name: the channel.
        epoch: the life of its history.
        head: the offset of its newest message, held or not.
        entries: those that are held, in order and without gaps, up to `head`.
    """

    name: str
    epoch: str
    head: int
    entries: Sequence[Entry]


class HistoryStore(Protocol):
    """Keeps histories over restarts. A failure is the store's to report, not to raise; it never waits."""

    def load(self, app: str) -> Sequence[StoredChannel]:
        """Return what is certainly complete; nothing, if something that was recorded may be missing."""
        ...

    def record(self, app: str, channel: str, epoch: str, first: int, entry: Entry) -> None:
        """Keep `entry`, the newest of its channel; what is before `first` may go."""
        ...

    def trim(self, app: str, channel: str, first: int) -> None:
        """Let everything go that is before `first`."""
        ...

    def forget(self, app: str, channel: str) -> None:
        """Let a channel go."""
        ...
