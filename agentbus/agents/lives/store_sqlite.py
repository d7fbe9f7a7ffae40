"""States in an SQLite file: durable before anything is answered, also through a `kill -9` or a power loss.

WAL with `synchronous=FULL`, on a thread of its own; what has come while the last transaction was written is
the next one, so that many agents share each wait for the disk.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agentbus.agents.lives.store import GUESTS_JOURNAL, JOURNAL_SIZE, Answer, Commit, journal_of
from agentbus.errors import StoreError
from agentbus.runtime import Future

BATCH = 256
"""Operations in one transaction at most."""

BUSY_TIMEOUT = 10.0
"""Seconds to wait for another process that is writing to the same file."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS states (agent TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (
    number INTEGER PRIMARY KEY AUTOINCREMENT, agent TEXT NOT NULL, key TEXT NOT NULL, answer BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS journal_keys ON journal (agent, key);
CREATE INDEX IF NOT EXISTS journal_age ON journal (agent, number);
"""

Work = Callable[[sqlite3.Connection], Any]


class SqliteStore:
    """States and journals in a file.

    It is opened when it is first used, and can be pickled: another process opens the file for itself.

    Args:
        path: of the file; made if it is not there.
        journal_size: keys that are remembered per agent.

    Raises:
        ValueError: a journal that could hold nothing.
    """

    survives_process = True

    def __init__(self, path: str | Path, *, journal_size: int = JOURNAL_SIZE) -> None:
        if journal_size < 1:
            raise ValueError(f"a journal remembers at least one key, not {journal_size}")
        self.path = str(path)
        self._size = journal_size
        # bounded by its users: each agent has one operation under way at most
        self._queue: queue.SimpleQueue[tuple[Work, Future[Any]] | None] = queue.SimpleQueue()
        self._once: dict[str, threading.Thread] = {}
        self._closed: Future[Any] = Future[Any]().quiet()

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (self.path, self._size)

    # -- from any thread -------------------------------------------------------------------------------------

    def load(self, agent: str) -> Future[bytes | None]:
        """Give the JSON of an agent's last state; None if it has none. It fails with `StoreError`."""
        return self._do(lambda file: _one(file, "SELECT state FROM states WHERE agent = ?", agent))

    def find(self, agent: str, key: str) -> Future[Answer | None]:
        """Give what a message with that key was answered with. It fails with `StoreError`."""
        journal, _size = journal_of(agent, key, self._size)

        def find(file: sqlite3.Connection) -> Answer | None:
            found = _one(file, "SELECT answer FROM journal WHERE agent = ? AND key = ?", journal, key)
            return None if found is None else msgspec.json.decode(found, type=Answer)

        return self._do(find)

    def commit(self, commit: Commit) -> Future[Any]:
        """Write state and key together, for good once the future is done. It fails with `StoreError`."""
        return self._do(lambda file: self._write(file, commit))

    def _write(self, file: sqlite3.Connection, commit: Commit) -> None:
        file.execute("INSERT OR REPLACE INTO states VALUES (?, ?)", (commit.agent, commit.state))
        if commit.key is None:
            return
        journal, size = journal_of(commit.agent, commit.key, self._size)
        answer = msgspec.json.encode(commit.answer or Answer())
        row = file.execute(
            "INSERT OR REPLACE INTO journal (agent, key, answer) VALUES (?, ?, ?)",
            (journal, commit.key, answer),
        )
        file.execute(
            "DELETE FROM journal WHERE agent = ?1 AND number <= "
            "(SELECT number FROM journal WHERE agent = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            (journal, size),
        )
        row.close()

    def forget(self, agent: str) -> Future[Any]:
        """Drop an agent's state and journal."""

        def forget(file: sqlite3.Connection) -> None:
            file.execute("DELETE FROM states WHERE agent = ?", (agent,))
            file.execute("DELETE FROM journal WHERE agent IN (?, ?)", (agent, agent + GUESTS_JOURNAL))

        return self._do(forget)

    def close(self) -> Future[Any]:
        """Finish what was begun, and let go of the file and the thread."""
        if "thread" not in self._once:
            self._closed.try_set(None)
        self._queue.put(None)
        return self._closed

    def _do(self, work: Work) -> Future[Any]:
        if self._closed.done():
            return Future.failed(StoreError(f"the store {self.path!r} is closed"))
        done: Future[Any] = Future[Any]().quiet()
        self._queue.put((work, done))
        if "thread" not in self._once:
            thread = threading.Thread(target=self._serve, name="agentbus-store", daemon=True)
            if self._once.setdefault("thread", thread) is thread:
                thread.start()
        return done

    # -- on the thread ---------------------------------------------------------------------------------------

    def _serve(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._end)
            try:
                file = stack.enter_context(contextlib.closing(_open(self.path)))
            except sqlite3.Error as error:
                self._refuse_all(error)
                return
            while (batch := self._next_batch()) is not None:
                self._settle(file, batch)

    def _end(self) -> None:
        self._closed.try_set(None)
        self._refuse_rest(StoreError(f"the store {self.path!r} is closed"))

    def _next_batch(self) -> list[tuple[Work, Future[Any]]] | None:
        """Wait for work; give all that has come. None at the end."""
        first = self._queue.get()
        batch: list[tuple[Work, Future[Any]]] = []
        while first is not None:
            batch.append(first)
            if len(batch) == BATCH or self._queue.empty():
                return batch
            first = self._queue.get_nowait()
        if batch:
            self._queue.put(None)  # its turn comes after what was before it
        return batch or None

    def _settle(self, file: sqlite3.Connection, batch: list[tuple[Work, Future[Any]]]) -> None:
        """Do a batch in one transaction; nobody is answered before all of it is durable."""
        try:
            file.execute("BEGIN IMMEDIATE")
            results = [work(file) for work, _done in batch]
            file.execute("COMMIT")
        except (sqlite3.Error, msgspec.DecodeError) as error:
            with contextlib.suppress(sqlite3.Error):
                file.execute("ROLLBACK")
            for _work, done in batch:
                done.try_set_exception(self._failure(error))
            return
        for (_work, done), result in zip(batch, results, strict=True):
            done.try_set(result)

    def _failure(self, error: Exception) -> StoreError:
        failure = StoreError(f"the store {self.path!r} failed: {error}")
        failure.__cause__ = error
        return failure

    def _refuse_all(self, error: Exception) -> None:
        """Refuse everything, as the file can't be opened, until the store is closed."""
        while (batch := self._next_batch()) is not None:
            for _work, done in batch:
                done.try_set_exception(self._failure(error))

    def _refuse_rest(self, error: StoreError) -> None:
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return
            if item is not None:
                item[1].try_set_exception(error)


def _open_again(path: str, journal_size: int) -> SqliteStore:
    return SqliteStore(path, journal_size=journal_size)


def _open(path: str) -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    file.execute("PRAGMA journal_mode=WAL")
    file.execute("PRAGMA synchronous=FULL")
    file.executescript(_SCHEMA)
    return file


def _one(file: sqlite3.Connection, query: str, *values: str) -> Any:
    row = file.execute(query, values).fetchone()
    return None if row is None else row[0]
