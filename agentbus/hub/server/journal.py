"""The hub's log of connections: one line per life, and a bounded number for those that were refused.

No line holds a credential, a query or anything that a client sent but its peer id, which the hub has checked.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from agentbus.hub.server.traffic import EndedBy, Tally
from agentbus.runtime.loop import Loop

log: Final = logging.getLogger("agentbus.hub.connections")

LINES_PER_WINDOW: Final = 10
"""Refused connections that get a line of their own within a window; the others are summed up at its end."""

WINDOW: Final = 10.0
"""Seconds."""

MOST_REASONS: Final = 32
"""Kinds of refusal that a summary tells apart."""

_PLAIN = re.compile(r"[^\s\"=\\]+")


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One connection that got in, when it is over.

    Attributes:
        number: counts the hub's connections from 1.
        address: where it came from.
        app: whose credential it had.
        peer: its peer id.
        credential: `key` or `token`.
        seconds: how long it lasted.
        carried: frames and bytes.
        code: the close code that ended it, 1006 where there was none.
        by: who ended it.
    """

    number: int
    address: str
    app: str
    peer: str
    credential: str
    seconds: float
    carried: Tally
    code: int
    by: EndedBy

    def facts(self) -> dict[str, object]:
        """Return what a log line says."""
        carried = self.carried
        return {
            "connection": self.number,
            "address": self.address or "unix",
            "app": self.app,
            "peer": self.peer,
            "credential": self.credential,
            "seconds": round(self.seconds, 3),
            "frames_in": carried.frames_in,
            "bytes_in": carried.bytes_in,
            "frames_out": carried.frames_out,
            "bytes_out": carried.bytes_out,
            "code": self.code,
            "ended_by": self.by,
        }


class RefusalWindow:
    """Decides which refusals get a line of their own. Times are monotonic seconds."""

    def __init__(self, lines: int = LINES_PER_WINDOW, window: float = WINDOW) -> None:
        self._lines = lines
        self._window = window
        self._began = float("-inf")
        self._told = 0
        self._untold: Counter[str] = Counter()

    def tell(self, reason: str, now: float) -> bool:
        """Say whether this one gets a line; if not, it is counted."""
        if now - self._began >= self._window and not self._untold:
            self._began, self._told = now, 0
        if self._told < self._lines:
            self._told += 1
            return True
        if reason not in self._untold and len(self._untold) >= MOST_REASONS:
            reason = "other"
        self._untold[reason] += 1
        return False

    @property
    def waiting(self) -> bool:
        """Whether there is something to be summed up."""
        return bool(self._untold)

    @property
    def ends(self) -> float:
        """When the window ends."""
        return self._began + self._window

    def take(self) -> dict[str, int]:
        """Return how many got no line, by reason, and begin anew."""
        untold, self._untold = dict(self._untold), Counter()
        return untold


class Journal:
    """Writes the lines.

    Args:
        loop: whose time it is.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._refusals = RefusalWindow()
        self._armed = False

    def ended(self, life: Life) -> None:
        """Write the line of a connection that is over."""
        if log.isEnabledFor(logging.INFO):
            facts = life.facts()
            log.info("connection ended: %s", as_text(facts), extra={"facts": facts})

    def refused(self, reason: str, address: str) -> None:
        """Write that a connection did not get in, or count it for the next summary."""
        if not log.isEnabledFor(logging.INFO):
            return
        now = self._loop.clock.monotonic()
        if self._refusals.tell(reason, now):
            facts: dict[str, object] = {"reason": reason, "address": address or "unix"}
            log.info("connection refused: %s", as_text(facts), extra={"facts": facts})
        elif not self._armed:
            self._armed = True
            self._loop.call_later(max(0.0, self._refusals.ends - now), self._sum_up)

    def _sum_up(self) -> None:
        self._armed = False
        facts: dict[str, object] = dict(sorted(self._refusals.take().items()))
        log.info("more connections refused: %s", as_text(facts), extra={"facts": {"refused": facts}})


def as_text(facts: Mapping[str, object]) -> str:
    """Write facts as `name=value` with blanks between; an ambiguous value is quoted as in JSON."""
    return " ".join(f"{name}={_value(str(value))}" for name, value in facts.items())


def _value(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
