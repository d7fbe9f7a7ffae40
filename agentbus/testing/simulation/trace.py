"""What happened, line by line. Two runs of one seed must agree in every byte of it."""

from __future__ import annotations

import hashlib
from typing import Final

from agentbus.runtime import Clock

LONGEST_EVENT: Final = 240


class Trace:
    """Lines of virtual time, actor and event.

    Args:
        clock: gives the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    def note(self, actor: str, event: str) -> None:
        """Add a line; what is too long to read is cut."""
        if len(event) > LONGEST_EVENT:
            event = f"{event[:LONGEST_EVENT]}... ({len(event)} characters)"
        self._lines.append(f"{self._clock.monotonic():11.6f} {actor:<10} {event}")

    def lines(self, last: int | None = None) -> list[str]:
        """Give the last lines, or all."""
        return self._lines[-last:] if last else list(self._lines)

    def digest(self) -> str:
        """Give the hash of all lines, in hexadecimal."""
        return hashlib.sha256("\n".join(self._lines).encode()).hexdigest()
