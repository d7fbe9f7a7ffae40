"""How histories lie in SQLite: the tables, and what is written to and read from them in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

import msgspec

from agentbus.hub.core import Author, Entry, StoredChannel, entry_bytes
from agentbus.protocol import PresencePeer

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS channels (
    app TEXT NOT NULL,
    channel TEXT NOT NULL,
    epoch TEXT NOT NULL,
    head INTEGER NOT NULL,
    PRIMARY KEY (app, channel)
);
CREATE TABLE IF NOT EXISTS entries (
    app TEXT NOT NULL,
    channel TEXT NOT NULL,
    offset INTEGER NOT NULL,
    at REAL NOT NULL,
    sender TEXT NOT NULL,
    metadata BLOB,
    data BLOB NOT NULL,
    author TEXT,
    PRIMARY KEY (app, channel, offset)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_ADD_CHANNEL = "INSERT OR REPLACE INTO channels VALUES (?, ?, ?, ?)"
_ADD_ENTRY = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_TRIM = "DELETE FROM entries WHERE app = ? AND channel = ? AND offset < ?"
_DROP_ENTRIES = "DELETE FROM entries WHERE app = ? AND channel = ?"
_DROP_CHANNEL = "DELETE FROM channels WHERE app = ? AND channel = ?"
_CHANNELS = "SELECT channel, epoch, head FROM channels WHERE app = ?"
_ENTRIES = """
SELECT offset, at, sender, metadata, data, author FROM entries WHERE app = ? AND channel = ? ORDER BY offset
"""


class Recorded(NamedTuple):
    """A message, the newest of its channel; what is before `first` may go."""

    app: str
    channel: str
    epoch: str
    first: int
    entry: Entry


class Trimmed(NamedTuple):
    """What is before `first` may go."""

    app: str
    channel: str
    first: int


class Forgotten(NamedTuple):
    """A channel may go."""

    app: str
    channel: str


Change: TypeAlias = Recorded | Trimmed | Forgotten


def make_tables(database: sqlite3.Connection) -> None:
    """Make what is missing."""
    database.executescript(_SCHEMA)


def forget_all(database: sqlite3.Connection) -> None:
    """Drop every message and channel."""
    database.execute("DELETE FROM entries")
    database.execute("DELETE FROM channels")


def read_fact(database: sqlite3.Connection, name: str) -> str | None:
    """Give a fact about the whole file."""
    row = database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def write_fact(database: sqlite3.Connection, name: str, value: str) -> None:
    """Replace a fact about the whole file."""
    database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


# -- out and in --------------------------------------------------------------------------------------------


def write(database: sqlite3.Connection, changes: Iterable[Change]) -> None:
    """Write changes in their order; of one channel, what may go goes once."""
    added: list[tuple[object, ...]] = []
    heads: dict[tuple[str, str], tuple[str, int]] = {}
    firsts: dict[tuple[str, str], int] = {}
    for change in changes:
        key = change.app, change.channel
        if isinstance(change, Recorded):
            if change.entry.offset == 1:  # another life of this history: nothing of the last may be left
                _flush(database, added, heads, firsts)
                database.execute(_DROP_ENTRIES, key)
            added.append((*key, *_fields(change.entry)))
            heads[key] = change.epoch, change.entry.offset
            firsts[key] = change.first
        elif isinstance(change, Trimmed):
            firsts[key] = change.first
        else:
            _flush(database, added, heads, firsts)
            database.execute(_DROP_ENTRIES, key)
            database.execute(_DROP_CHANNEL, key)
    _flush(database, added, heads, firsts)


def _flush(
    database: sqlite3.Connection,
    added: list[tuple[object, ...]],
    heads: dict[tuple[str, str], tuple[str, int]],
    firsts: dict[tuple[str, str], int],
) -> None:
    database.executemany(_ADD_ENTRY, added)
    database.executemany(_ADD_CHANNEL, [(*key, *head) for key, head in heads.items()])
    database.executemany(_TRIM, [(*key, first) for key, first in firsts.items() if first > 1])
    added.clear()
    heads.clear()
    firsts.clear()


def _fields(entry: Entry) -> tuple[object, ...]:
    metadata = entry.sender.metadata
    author = entry.author
    return (
        entry.offset,
        entry.at,
        entry.sender.peer_id,
        None if metadata is None else bytes(metadata),
        bytes(entry.data),
        None if author is None else author.name,
    )


def read(database: sqlite3.Connection, app: str) -> Iterator[StoredChannel]:
    """Give the channels of an app."""
    for channel, epoch, head in database.execute(_CHANNELS, (app,)).fetchall():
        entries = [_entry(row) for row in database.execute(_ENTRIES, (app, channel))]
        yield StoredChannel(channel, epoch, head, entries)


def _entry(row: tuple[int, float, str, bytes | None, bytes, str | None]) -> Entry:
    offset, at, peer, metadata, text, author = row
    sender = PresencePeer(peer, None if metadata is None else msgspec.Raw(metadata))
    data = msgspec.Raw(text)
    named = None if author is None else Author(author)
    return Entry(offset, at, sender, data, named, entry_bytes(sender, data))
