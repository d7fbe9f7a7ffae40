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
        ValueError: there is no such store. It shows nothing of the URL that could be a secret.
    """
    if url == "memory://":
        return MemoryQueueStore()
    if url.startswith(SQLITE) and "?" in url:
        raise ValueError("the URL of a store has nothing behind a `?`: sqlite:///path takes no parameters")
    if url.startswith(SQLITE) and len(url) > len(SQLITE):
        from agentbus.agents.queues.stores.store_sqlite import SqliteQueueStore  # loaded where it is needed

        return SqliteQueueStore(Path(url.removeprefix(SQLITE)), queue)
    raise ValueError(f"a queue is kept in memory:// or sqlite:///path, not in {_scheme_of(url)}")


def _scheme_of(url: str) -> str:
    scheme, there, _rest = url.partition("://")
    return f"{scheme}://…" if there and scheme.isidentifier() else "what has no scheme that is known"
