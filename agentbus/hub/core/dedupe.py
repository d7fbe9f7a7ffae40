"""Which requests were accepted lately, by the ids that clients gave them (`dedupe.v1`)."""

from __future__ import annotations

from agentbus.hub.core.config import DedupeLimits

Key = tuple[str, str]
"""The credential's identity, and the id."""


class Dedupe:
    """The ids of one app, for so many seconds and so many of them at most.

    Args:
        limits: how long, and how many.

    Attributes:
        repeats: requests that were recognised.
        forgotten: ids that had to go before their time.
    """

    __slots__ = ("_known", "_limits", "forgotten", "repeats")

    def __init__(self, limits: DedupeLimits) -> None:
        self._limits = limits
        self._known: dict[Key, float] = {}  # in the order of their acceptance
        self.repeats = 0
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._known)

    def is_repeat(self, identity: str, message_id: str, now: float) -> bool:
        """Tell whether a request of that id was accepted within the window; `now` is monotonic."""
        at = self._known.get((identity, message_id))
        if at is None or now - at > self._limits.window:
            return False
        self.repeats += 1
        return True

    def accepted(self, identity: str, message_id: str, now: float) -> None:
        """Remember a request from now on."""
        known, oldest = self._known, now - self._limits.window
        key = (identity, message_id)
        known.pop(key, None)
        known[key] = now
        for _ in range(2):  # one more than comes in: so what is left of a rush goes, too
            first = next(iter(known))
            if known[first] >= oldest:
                break
            del known[first]
        if len(known) > self._limits.max_ids:
            self._make_room(oldest)

    def forget(self, identity: str, message_id: str) -> None:
        """Let a request be tried again: it was refused after all."""
        self._known.pop((identity, message_id), None)

    def _make_room(self, oldest: float) -> None:
        while len(self._known) > self._limits.max_ids:
            first = next(iter(self._known))
            self.forgotten += self._known.pop(first) >= oldest
