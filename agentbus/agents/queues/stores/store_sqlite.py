"""A queue in an SQLite file: durable before anything is answered, also through a `kill -9` or a power loss.

WAL with `synchronous=FULL`, on a thread of its own; what has come while the last transaction was written is
the next one, so that many batches share each wait for the disk. Several queues can be in one file.
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

from agentbus.agents.queues.stores.claim import FileClaim
from agentbus.agents.queues.stores.sqlite_file import SqliteFile
from agentbus.agents.queues.stores.store import Batch, Opened
from agentbus.errors import AgentError, QueueFencedError, StoreError
from agentbus.runtime import Future

GROUP = 256
"""Batches in one transaction at most."""


class _Order(msgspec.Struct):
    """Something to do on the store's thread: batches share a transaction, other work stands alone."""

    done: Future[Any]
    batch: Batch | None = None
    work: Callable[[], Any] | None = None


class SqliteQueueStore:
    """Keeps one queue in a file.

    Args:
        path: of the file; made if it is not there, its folder is not.
        queue: the queue's name.
        max_bytes: of the file, journal not counted; beyond it writes fail as with a full disk. None for what
            the disk holds.
    """

    def __init__(self, path: str | Path, queue_name: str, *, max_bytes: int | None = None) -> None:
        self.path = Path(path).absolute()
        self._queue_name = queue_name
        self._max_bytes = max_bytes
        self._claim = FileClaim(self.path, queue_name)
        self._file: SqliteFile | None = None
        self._fenced: QueueFencedError | None = None
        # bounded by its host, which has one batch and few reads under way
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._once: dict[str, threading.Thread] = {}
        self._closed: Future[None] = Future[None]().quiet()
        self._closing = False

    @property
    def text(self) -> str:
        """What it is, for people."""
        return f"sqlite:///{self.path}"

    # -- from any thread -------------------------------------------------------------------------------------

    def claim(self, owner: str) -> Future[str]:
        """Take the claim; the future is of who had it and died with it. See `open`."""
        return self._order(_Order(Future[Any]().quiet(), work=lambda: self._claim.take(owner)))

    def open(self, owner: str) -> Future[Opened]:
        """Claim the queue and read it; may be called again, and begins a new epoch then.

        Args:
            owner: who claims it, for the error of the next who tries.

        Returns:
            The future of what is there. It fails with `QueueTakenError` while another store holds the claim,
            and with `StoreError`.
        """
        return self._order(_Order(Future[Any]().quiet(), work=lambda: self._open(owner)))

    def write(self, batch: Batch) -> Future[None]:
        """Make changes; the future is done once they are durable. See `QueueStore.write` for how it fails."""
        return self._order(_Order(Future[Any]().quiet(), batch))

    def bodies(self, numbers: list[int]) -> Future[dict[int, bytes]]:
        """Read bodies; those of records that are gone are left out. It fails with `StoreError`."""
        if not numbers:
            return Future.completed({})
        return self._order(_Order(Future[Any]().quiet(), work=lambda: self._opened().bodies(numbers)))

    def close(self) -> Future[None]:
        """Finish what was given, let go of the claim, of the file and the thread; idempotent."""
        if "thread" not in self._once:
            self._closed.try_set(None)
        self._closing = True
        self._orders.put(None)
        return self._closed

    def _order(self, order: _Order) -> Future[Any]:
        if self._closing:
            return Future.failed(self._failure("it is closed"))
        self._orders.put(order)
        if "thread" not in self._once:
            thread = threading.Thread(target=self._serve, name="agentbus-queue-store", daemon=True)
            if self._once.setdefault("thread", thread) is thread:
                thread.start()
        return order.done

    # -- on the thread ---------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while self._serve_some():
                pass
        finally:
            self._end()

    def _serve_some(self) -> bool:
        """Wait for orders; write the batches that have come together, then do the other work behind them."""
        group: list[_Order] = []
        while True:
            order = self._orders.get()
            if order is not None and order.batch is not None:
                group.append(order)
                if len(group) < GROUP and not self._orders.empty():
                    continue
                order = _NOTHING
            self._write(group)
            if order is not None and order.work is not None:
                self._work(order)
            self._tidy()
            return order is not None

    def _write(self, group: list[_Order]) -> None:
        """Write batches in one transaction; nobody is answered before all of it is durable."""
        if not group:
            return
        try:
            self._opened().write([order.batch for order in group if order.batch is not None])
        except Exception as error:  # noqa: BLE001 -- else its thread would end, and nobody be answered
            self._fail(group, error)
        else:
            for order in group:
                order.done.try_set(None)

    def _tidy(self) -> None:
        """Do in a pause what a write would have to wait for: everybody has been answered."""
        file = self._file
        if file is None or not file.wants_tidying or not (self._orders.empty() or file.needs_tidying):
            return
        with contextlib.suppress(sqlite3.Error):  # a disk that is full: what was reported is in the journal
            file.tidy()

    def _work(self, order: _Order) -> None:
        try:
            result = None if order.work is None else order.work()
        except Exception as error:  # noqa: BLE001 -- as above
            self._fail([order], error)
        else:
            order.done.try_set(result)

    def _open(self, owner: str) -> Opened:
        self._claim.take(owner)
        if self._file is None:
            self._file = SqliteFile(str(self.path), self._queue_name, self._max_bytes)
        opened = self._file.claim()
        self._fenced = None
        return opened

    def _opened(self) -> SqliteFile:
        if self._fenced is not None:
            raise self._fenced
        if self._file is None:
            raise self._failure("it was not opened")
        return self._file

    def _fail(self, orders: list[_Order], error: Exception) -> None:
        if isinstance(error, QueueFencedError):
            self._fenced = error
        elif not isinstance(error, AgentError):
            failure = self._failure(str(error))
            failure.__cause__ = error
            error = failure
        for order in orders:
            order.done.try_set_exception(error)

    def _failure(self, explanation: str) -> StoreError:
        return StoreError(f"the store {self.text!r} of queue {self._queue_name!r} failed: {explanation}")

    def _end(self) -> None:
        if self._file is not None:
            with contextlib.suppress(sqlite3.Error):  # what was reported is durable; the journal is kept
                self._file.close()
        self._claim.let_go()
        self._closed.try_set(None)
        while not self._orders.empty():
            order = self._orders.get()
            if order is not None:
                order.done.try_set_exception(self._failure("it is closed"))


_NOTHING = _Order(Future.completed(None))
