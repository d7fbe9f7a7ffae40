"""Histories over restarts of the hub: in SQLite, written in batches by a thread of the store's own.

The hub acks a message before it is on the disk, so a hub that was killed may have lost the last few. Whether
it has, is known at the next start: each message is counted in a small mapped file as it is recorded, which
outlives the process, and each batch writes the count that it brings the database to. If both agree, nothing
was lost and all epochs go on. If not, or if the machine itself went down without a farewell of the hub,
everything is forgotten, and clients find new epochs.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
import sqlite3
import struct
import threading
from collections import deque
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

from agentbus.errors import HubConfigError
from agentbus.hub.core import Entry, StoredChannel
from agentbus.hub.server import history_rows as rows

FILE_NAME: Final = "history.sqlite3"
COUNT_NAME: Final = "history.count"
MAX_WAITING: Final = 100_000
"""Changes that may wait for the disk."""
MAX_WAITING_BYTES: Final = 64 << 20
"""Bytes of them."""
GATHER: Final = 0.005
"""Seconds for which a batch gathers."""

_COUNT: Final = struct.Struct("<Q")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_log = logging.getLogger("agentbus.hub")


class SqliteHistoryStore:
    """A `HistoryStore` in a folder of the hub's.

    Args:
        folder: made if it is missing.
        boot: names this run of the machine; None where nobody knows. By default what the kernel says.

    Raises:
        HubConfigError: the folder can't be used, or another hub uses it.

    Attributes:
        complete: whether nothing had been lost when it was opened.
        failed: whether it writes nothing any more until the next start, which will find that out.
    """

    def __init__(self, folder: Path, boot: str | None = None) -> None:
        self._path = folder / FILE_NAME
        self._boot = boot or _boot_id()
        self.failed = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder / COUNT_NAME)
            self._counter = mmap.mmap(self._lock, _COUNT.size)
            with self._connected() as database:
                self.complete = self._open(database)
        except (OSError, sqlite3.Error) as error:
            raise HubConfigError(str(folder), "data-dir", f"can't be used: {error}") from None
        self._recorded: int = _COUNT.unpack_from(self._counter)[0]
        self._written = self._recorded
        self._waiting: deque[rows.Change] = deque()
        self._put_bytes = 0  # written by the hub's thread, as the next is by ours
        self._taken_bytes = 0
        self._wake = threading.Event()
        self._idle = True
        self._closing = threading.Event()
        self._writer = threading.Thread(target=self._write_all, name="agentbus-history", daemon=True)
        self._writer.start()

    def _open(self, database: sqlite3.Connection) -> bool:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")  # a farewell counts once, also when the power goes
        rows.make_tables(database)
        farewell = rows.read_fact(database, "farewell") == "yes"
        same_run = self._boot is not None and rows.read_fact(database, "boot") == self._boot
        count = str(_COUNT.unpack_from(self._counter)[0])
        complete = farewell or (same_run and rows.read_fact(database, "count") == count)
        if not complete:
            rows.forget_all(database)
        rows.write_fact(database, "farewell", "no")
        rows.write_fact(database, "boot", self._boot or "")
        rows.write_fact(database, "count", count)
        return complete

    # -- what the hub calls --------------------------------------------------------------------------------

    def load(self, app: str) -> Sequence[StoredChannel]:
        """Return what was complete when the store was opened; what can't be read counts as lost."""
        try:
            with self._connected() as database:
                return [channel for channel in rows.read(database, app) if _is_whole(channel)]
        except sqlite3.Error as error:
            _log.error("the history of app %s can't be read and begins anew: %s", app, error)
            return []

    @property
    def waiting(self) -> int:
        """Count the changes that wait for the disk."""
        return len(self._waiting)

    def record(self, app: str, channel: str, epoch: str, first: int, entry: Entry) -> None:
        """Keep a message; it is counted now, and written soon."""
        if self.failed:
            return
        self._recorded += 1
        _COUNT.pack_into(self._counter, 0, self._recorded)
        self._put_bytes += entry.size
        self._put(rows.Recorded(app, channel, epoch, first, entry))

    def trim(self, app: str, channel: str, first: int) -> None:
        """Let go what is before `first`."""
        if not self.failed:
            self._put(rows.Trimmed(app, channel, first))

    def forget(self, app: str, channel: str) -> None:
        """Let a channel go."""
        if not self.failed:
            self._put(rows.Forgotten(app, channel))

    def _put(self, change: rows.Change) -> None:
        self._waiting.append(change)
        waiting_bytes = self._put_bytes - self._taken_bytes
        if len(self._waiting) > MAX_WAITING or waiting_bytes > MAX_WAITING_BYTES:
            self._give_up("the disk is too slow")
        elif self._idle:
            self._idle = False
            self._wake.set()

    def _give_up(self, why: str) -> None:
        self.failed = True
        self._waiting.clear()
        _log.error("histories are not kept over the next restart: %s", why)

    def close(self) -> None:
        """Write what is waiting, say that this was all, and let another hub use the folder."""
        self._closing.set()
        self._wake.set()
        self._writer.join()
        self._counter.close()
        os.close(self._lock)

    # -- the store's thread --------------------------------------------------------------------------------

    def _write_all(self) -> None:
        with self._connected() as database:
            database.execute("PRAGMA synchronous=NORMAL")
            while not self._closing.is_set():
                self._wake.wait()
                self._closing.wait(GATHER)
                self._wake.clear()
                self._idle = True  # whoever comes from now on wakes us again
                self._write_waiting(database, farewell=False)
            database.execute("PRAGMA synchronous=FULL")
            self._write_waiting(database, farewell=True)

    def _write_waiting(self, database: sqlite3.Connection, *, farewell: bool) -> None:
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if self.failed or not (taken or farewell):
            return
        recorded = [change for change in taken if isinstance(change, rows.Recorded)]
        self._taken_bytes += sum(change.entry.size for change in recorded)
        self._written += len(recorded)
        try:
            with database:
                rows.write(database, taken)
                rows.write_fact(database, "count", str(self._written))
                if farewell:
                    rows.write_fact(database, "farewell", "yes")
        except sqlite3.Error as error:
            self._give_up(f"they can't be written: {error}")

    @contextlib.contextmanager
    def _connected(self) -> Generator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path, timeout=5)) as database, database:
            yield database


def _locked(path: Path) -> int:
    """Open the file that counts, for this process alone; a lock ends with its process."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file).st_size < _COUNT.size:
            os.ftruncate(file, _COUNT.size)
    except OSError:
        os.close(file)
        raise
    return file


def _boot_id() -> str | None:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return None


def _is_whole(channel: StoredChannel) -> bool:
    offsets = [entry.offset for entry in channel.entries]
    return offsets == list(range(channel.head + 1 - len(offsets), channel.head + 1))
