"""Where stored agents keep their state: the interface. `store_memory` and `store_sqlite` are beside it.

A record is an agent's state after its last handled message, and a journal of the keys of the last messages
that it handled, each with the answer that it gave. Both are written together, in one transaction, before
the answer leaves. So, whenever the process ends: what was answered is in the state, and a message that is
sent again under the key of one that was handled is answered from the journal.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from agentbus.agents.failures import Failure
from agentbus.agents.headers import GUESTS_KEY
from agentbus.agents.shares import GUESTS_PART
from agentbus.runtime import Future

JOURNAL_SIZE = 10_000
"""Keys that are remembered per agent; the oldest go first."""

GUESTS_JOURNAL = "/guests"
"""What names the journal of guests, after the agent's name."""


def journal_of(agent: str, key: str, size: int) -> tuple[str, int]:
    """Give the name and the size of the journal that a key belongs into.

    The keys of guests have one of their own, a quarter as large: they push out none of others.

    Args:
        agent: the agent's name.
        key: as the agent knows it.
        size: keys that are remembered of others.
    """
    if key.startswith(GUESTS_KEY):
        return agent + GUESTS_JOURNAL, max(1, size // GUESTS_PART)
    return agent, size


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a message with a key was answered with.

    Attributes:
        type: wire name of the reply; empty for plain JSON.
        version: of the type.
        body: its JSON.
        failure: a declared exception, instead of a reply.
    """

    type: str = ""
    version: int = 1
    body: msgspec.Raw = msgspec.Raw(b"null")
    failure: Failure | None = None


class Commit(msgspec.Struct, frozen=True):
    """What one handled message changes.

    Attributes:
        agent: its name.
        state: JSON of the state after it.
        key: of the message; None if it has none.
        answer: what it was answered with; kept only with a key.
    """

    agent: str
    state: bytes
    key: str | None = None
    answer: Answer | None = None


class Store(Protocol):
    """Keeps states and journals. Safe from any thread; each agent has one commit under way at most."""

    @property
    def survives_process(self) -> bool:
        """Whether another process can read what this one has written."""
        ...

    def load(self, agent: str) -> Future[bytes | None]:
        """Give the JSON of an agent's last state; None if it has none."""
        ...

    def find(self, agent: str, key: str) -> Future[Answer | None]:
        """Give what a message with that key was answered with; None if none is remembered."""
        ...

    def commit(self, commit: Commit) -> Future[Any]:
        """Write state and key together; the future is done once that is durable."""
        ...

    def forget(self, agent: str) -> Future[Any]:
        """Drop an agent's state and journal."""
        ...

    def close(self) -> Future[Any]:
        """Finish what was begun, and let go of files and threads."""
        ...
