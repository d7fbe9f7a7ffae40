"""Stores by URL: `memory://`, `sqlite:///relative/path.db`, `sqlite:////absolute/path.db`."""

from __future__ import annotations

from pathlib import Path

from agentbus.agents.queues.stores.store import QueueStore
from agentbus.agents.queues.stores.store_memory import MemoryQueueStore

SQLITE = "sqlite:///"


def open_store(url: str, queue: str) -> QueueStore:
    """Make the store of a queue; nothing is opened yet.

    Args:
        url: see above.
        queue: the queue's name: several may share a file.

    Raises:
        ValueError: there is no such store.
    """
    if url == "memory://":
        return MemoryQueueStore()
    if url.startswith(SQLITE) and len(url) > len(SQLITE):
        from agentbus.agents.queues.stores.store_sqlite import SqliteQueueStore  # loaded where it is needed

        return SqliteQueueStore(Path(url.removeprefix(SQLITE)), queue)
    raise ValueError(
        f"a queue is kept in memory:// or sqlite:///path, not in {url.partition('@')[2] or url!r}"
    )
