"""States that survive restarts of an agent, and end with the process."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from agentbus.agents.lives.store import GUESTS_JOURNAL, JOURNAL_SIZE, Answer, Commit, journal_of
from agentbus.runtime import Future


class MemoryStore:
    """States and journals in memory. Every operation is done at once; safe from any thread.

    Args:
        journal_size: keys that are remembered per agent.

    Raises:
        ValueError: a journal that could hold nothing.
    """

    survives_process = False

    def __init__(self, *, journal_size: int = JOURNAL_SIZE) -> None:
        if journal_size < 1:
            raise ValueError(f"a journal remembers at least one key, not {journal_size}")
        self._size = journal_size
        self._states: dict[str, bytes] = {}
        self._journals: dict[str, OrderedDict[str, Answer]] = {}

    def load(self, agent: str) -> Future[bytes | None]:
        """Give the JSON of an agent's last state; None if it has none."""
        return Future.completed(self._states.get(agent))

    def find(self, agent: str, key: str) -> Future[Answer | None]:
        """Give what a message with that key was answered with; None if none is remembered."""
        journal = self._journals.get(journal_of(agent, key, self._size)[0])
        return Future.completed(None if journal is None else journal.get(key))

    def commit(self, commit: Commit) -> Future[Any]:
        """Keep state and key."""
        self._states[commit.agent] = commit.state
        if commit.key is not None:
            name, size = journal_of(commit.agent, commit.key, self._size)
            journal = self._journals.setdefault(name, OrderedDict())
            journal[commit.key] = commit.answer or Answer()
            journal.move_to_end(commit.key)
            while len(journal) > size:
                journal.popitem(last=False)
        return Future.completed(None)

    def forget(self, agent: str) -> Future[Any]:
        """Drop an agent's state and journal."""
        self._states.pop(agent, None)
        self._journals.pop(agent, None)
        self._journals.pop(agent + GUESTS_JOURNAL, None)
        return Future.completed(None)

    def close(self) -> Future[Any]:
        """Do nothing: there is nothing to let go of."""
        return Future.completed(None)
