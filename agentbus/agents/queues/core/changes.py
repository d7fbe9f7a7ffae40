"""`Changes`: what is to be stored at the end of a turn."""

from __future__ import annotations

from collections.abc import Mapping

from agentbus.agents.queues.core.record import Job, encode_head
from agentbus.agents.queues.stores.store import Batch


class Changes:
    """What has changed since the last turn. Heads are encoded when they are taken: once per job and turn.

    Attributes:
        heads: numbers of the jobs whose heads changed.
        bodies: new bodies by number.
        erased: numbers of records that go.
        notes: new notes; None for one that goes.
    """

    __slots__ = ("bodies", "erased", "heads", "notes")

    def __init__(self) -> None:
        self.heads: dict[int, None] = {}
        self.bodies: dict[int, bytes] = {}
        self.erased: set[int] = set()
        self.notes: dict[str, bytes | None] = {}

    def __bool__(self) -> bool:
        """Tell whether anything changed."""
        return bool(self.heads or self.bodies or self.erased or self.notes)

    def erase(self, number: int) -> None:
        """Let a record go."""
        self.heads.pop(number, None)
        self.bodies.pop(number, None)
        self.erased.add(number)

    def take(self, jobs: Mapping[int, Job]) -> Batch:
        """Give all of it as a batch, and begin anew."""
        heads = {number: encode_head(jobs[number]) for number in self.heads}
        batch = Batch(heads, self.bodies, self.erased, self.notes)
        self.heads, self.bodies, self.erased, self.notes = {}, {}, set(), {}
        return batch
