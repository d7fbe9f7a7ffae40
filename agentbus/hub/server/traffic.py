"""What connections have carried and how they ended: counted when one ends, read when somebody asks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from agentbus.protocol import CloseCode

EndedBy = Literal["client", "hub", "network", "silence"]
"""Who ended a connection: a close frame of the client's, one of ours, a dead network, or no sign of life."""

OTHER_CODE = "other"
KNOWN_CODES = frozenset((*map(int, CloseCode), 1002, 1003, 1005, 1007))


@dataclass(slots=True)
class Tally:
    """Frames and bytes; bytes are those of WebSocket frames, without TLS."""

    frames_in: int = 0
    bytes_in: int = 0
    frames_out: int = 0
    bytes_out: int = 0

    def add(self, other: Tally) -> None:
        """Add what another has counted."""
        self.frames_in += other.frames_in
        self.bytes_in += other.bytes_in
        self.frames_out += other.frames_out
        self.bytes_out += other.bytes_out


@dataclass(slots=True)
class AppTraffic:
    """One app's connections: how many got in, what those that have ended carried, and how they ended."""

    accepted: int = 0
    ended: Tally = field(default_factory=Tally)
    closes: Counter[tuple[str, EndedBy]] = field(default_factory=Counter[tuple[str, EndedBy]])


class Traffic:
    """All apps' traffic since the hub was made.

    Attributes:
        apps: by id.
        closes: connections that got in and ended, by close code and who ended them.
        refused: connections that did not get in, by close code or HTTP status.
    """

    def __init__(self) -> None:
        self.apps: dict[str, AppTraffic] = {}
        self.closes: Counter[tuple[str, EndedBy]] = Counter()
        self.refused: Counter[str] = Counter()

    def accept(self, app: str) -> None:
        """Count a connection that got in."""
        self.of(app).accepted += 1

    def end(self, app: str, carried: Tally, code: int, by: EndedBy) -> None:
        """Count the end of one that had got in. A client may send any code: unknown ones count together."""
        how: tuple[str, EndedBy] = str(code) if code in KNOWN_CODES else OTHER_CODE, by
        self.of(app).ended.add(carried)
        self.of(app).closes[how] += 1
        self.closes[how] += 1

    def of(self, app: str) -> AppTraffic:
        """Return one app's counts."""
        found = self.apps.get(app)
        if found is None:
            found = self.apps[app] = AppTraffic()
        return found
