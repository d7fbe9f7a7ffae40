"""`SqliteFile`: what a store of queues asks of SQLite. One thread uses it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Generator, Iterable

from agentbus.agents.queues.stores.store import Batch, Opened, Record
from agentbus.errors import QueueFencedError

BUSY_TIMEOUT = 10.0
"""Seconds to wait for another process that is writing to the same file."""

CHECKPOINT_BYTES = 4 << 20
"""Of the journal, about: what SQLite itself has as its default. Then it is copied into the file by `tidy`."""

LATE = 4
"""Times as much, with which the copying waits no longer for a moment in which nobody waits for a write."""

_COMMIT_BYTES, _ROW_BYTES = 9_000, 64
"""What a transaction and a row add to the journal beside their bytes, about: whole pages are written."""

_NUMBER_BITS = 40
"""A row's id is the number of its queue in the file, then that of its record: one range of rows per queue."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS queues (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS heads (id INTEGER PRIMARY KEY, head BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS notes (
    queue INTEGER NOT NULL, name TEXT NOT NULL, note BLOB NOT NULL, PRIMARY KEY (queue, name)
) WITHOUT ROWID;
"""
_PUT_HEAD = "INSERT INTO heads VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET head = excluded.head"
_PUT_BODY = "INSERT INTO bodies VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body"
_CLAIM = (
    "INSERT INTO queues (name, epoch) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1 "
    "RETURNING id, epoch"
)


class SqliteFile:
    """A queue in a file.

    Args:
        path: of the file; made if it is not there.
        queue: the queue's name.
        max_bytes: of the file; None for what the disk holds.

    Raises:
        sqlite3.Error: the file can't be opened, or is none of SQLite.
    """

    def __init__(self, path: str, queue: str, max_bytes: int | None) -> None:
        self._queue = queue
        self._base = 0
        self._epoch = 0
        self._journal = 0
        self._file = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "wal_autocheckpoint=0",
                "journal_size_limit=67108864",
            ):
                self._file.execute(f"PRAGMA {pragma}")
            self._file.executescript(_SCHEMA)
            if max_bytes is not None:
                page = self._file.execute("PRAGMA page_size").fetchone()[0]
                self._file.execute(f"PRAGMA max_page_count={max(1, max_bytes // page)}")
        except sqlite3.Error:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def claim(self) -> Opened:
        """Begin a new epoch of the queue, and read it."""
        with self._transaction():
            row, self._epoch = self._file.execute(_CLAIM, (self._queue,)).fetchone()
            self._base = row << _NUMBER_BITS
            heads = self._file.execute(
                "SELECT id, head FROM heads WHERE id BETWEEN ? AND ? ORDER BY id",
                (self._base, self._base + (1 << _NUMBER_BITS) - 1),
            )
            records = [Record(number - self._base, head) for number, head in heads]
            notes = dict(self._file.execute("SELECT name, note FROM notes WHERE queue = ?", (row,)))
        return Opened(self._epoch, records, notes)

    def write(self, batches: Iterable[Batch]) -> None:
        """Write batches in one transaction; they are durable when it returns.

        Raises:
            QueueFencedError: somebody has claimed the queue since; nothing was written.
            sqlite3.Error: nothing was written.
        """
        with self._transaction():
            epoch = self._file.execute("SELECT epoch FROM queues WHERE name = ?", (self._queue,)).fetchone()
            if epoch != (self._epoch,):
                raise QueueFencedError(self._queue, self._epoch)
            for batch in batches:
                self._write(batch)
        self._journal += _COMMIT_BYTES

    @property
    def wants_tidying(self) -> bool:
        """Whether there is enough in the journal for `tidy` to be worth its time."""
        return self._journal >= CHECKPOINT_BYTES

    @property
    def needs_tidying(self) -> bool:
        """Whether the journal is so large that writers should wait for `tidy`."""
        return self._journal >= LATE * CHECKPOINT_BYTES

    def tidy(self) -> None:
        """Copy the journal into the file: some syncs of the disk, for which no write should have to wait.

        Raises:
            sqlite3.Error: it stays in the journal, and is as durable there.
        """
        self._journal = 0
        self._file.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _write(self, batch: Batch) -> None:
        file, base = self._file, self._base
        texts = (batch.heads.values(), batch.bodies.values())
        self._journal += sum(len(text) + _ROW_BYTES for some in texts for text in some)
        if batch.heads:
            file.executemany(_PUT_HEAD, [(base + number, head) for number, head in batch.heads.items()])
        if batch.bodies:
            file.executemany(_PUT_BODY, [(base + number, body) for number, body in batch.bodies.items()])
        if batch.erased:
            erased = [(base + number,) for number in batch.erased]
            file.executemany("DELETE FROM heads WHERE id = ?", erased)
            file.executemany("DELETE FROM bodies WHERE id = ?", erased)
        row = base >> _NUMBER_BITS
        for name, note in batch.notes.items():
            if note is None:
                file.execute("DELETE FROM notes WHERE queue = ? AND name = ?", (row, name))
            else:
                file.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", (row, name, note))

    def bodies(self, numbers: list[int]) -> dict[int, bytes]:
        """Read bodies, those that are there."""
        wanted = json.dumps([self._base + number for number in numbers])
        rows = self._file.execute(
            "SELECT id, body FROM bodies WHERE id IN (SELECT value FROM json_each(?))", (wanted,)
        )
        return {number - self._base: body for number, body in rows}

    @contextlib.contextmanager
    def _transaction(self) -> Generator[None]:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._file.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk may have rolled it back already
                self._file.execute("ROLLBACK")
            raise
