"""The message counts of each period, kept in SQLite, so that a restart forgets no quota.

Saves are written by a thread of the store's own: the hub's loop never waits for a disk.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Generator, Sequence
from pathlib import Path

from agentbus.errors import HubConfigError
from agentbus.hub.core import UsageRecord

FILE_NAME = "usage.sqlite3"

MAX_WAITING = 64
"""Saves that may wait for the disk; at so many they become one, with the latest counts of each app."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS usage (
    app TEXT NOT NULL,
    period_start INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    peak_concurrent INTEGER NOT NULL,
    PRIMARY KEY (app, period_start)
)
"""
_LOAD = "SELECT app, period_start, messages, peak_concurrent FROM usage WHERE app = ? AND period_start = ?"
_SAVE = "INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?)"

_log = logging.getLogger("agentbus.hub")


class SqliteUsageStore:
    """A `UsageStore` in a folder of the hub's.

    Args:
        folder: made if it is missing.

    Raises:
        HubConfigError: the folder or the file can't be used.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._connected() as database:
                database.execute("PRAGMA journal_mode=WAL")
                database.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise HubConfigError(str(folder), "data-dir", f"can't be used: {error}") from None
        self._saves: queue.Queue[Sequence[UsageRecord] | None] = queue.Queue(MAX_WAITING)
        self._writer = threading.Thread(target=self._write_all, name="agentbus-usage", daemon=True)
        self._writer.start()

    def load(self, app: str, period_start: int) -> UsageRecord | None:
        """Return what was saved last for this period, if anything."""
        try:
            with self._connected() as database:
                row = database.execute(_LOAD, (app, period_start)).fetchone()
        except sqlite3.Error as error:
            _log.error("the usage of app %s can't be read and counts from 0: %s", app, error)
            return None
        return None if row is None else UsageRecord(*row)

    @property
    def waiting(self) -> int:
        """Count the saves that wait for the disk."""
        return self._saves.qsize()

    def save(self, records: Sequence[UsageRecord]) -> None:
        """Have the store's thread write `records`; never waits for it, and is called by one thread."""
        if self._saves.full():
            records = self._merged(records)
        self._saves.put_nowait(tuple(records))

    def _merged(self, records: Sequence[UsageRecord]) -> Sequence[UsageRecord]:
        """Take out what waits, and give the latest counts: they stand for all before."""
        latest: dict[tuple[str, int], UsageRecord] = {}
        with contextlib.suppress(queue.Empty):
            while True:
                for record in self._saves.get_nowait() or ():
                    latest[record.app, record.period_start] = record
        return [*(latest | {(each.app, each.period_start): each for each in records}).values()]

    def close(self) -> None:
        """Write what is waiting, then end."""
        self._saves.put(None)
        self._writer.join()

    def _write_all(self) -> None:
        while (records := self._saves.get()) is not None:
            try:
                with self._connected() as database:
                    database.executemany(_SAVE, [_fields(record) for record in records])
            except sqlite3.Error as error:
                _log.error(
                    "the usage of %d apps can't be saved, and will be with the next: %s", len(records), error
                )

    @contextlib.contextmanager
    def _connected(self) -> Generator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path, timeout=5)) as database, database:
            yield database


def _fields(record: UsageRecord) -> tuple[str, int, int, int]:
    return record.app, record.period_start, record.messages, record.peak_concurrent
