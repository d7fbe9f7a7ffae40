"""What `agentbus worker --queue` shows: one line that is kept up to date, plain lines, or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from agentbus.cli import console

if TYPE_CHECKING:
    from agentbus.agents.queues.health import Totals
    from agentbus.agents.queues.parent import PlaceReport

LINES_EVERY = 20
"""Looks between two lines where nobody sits at a terminal, if anything has changed."""


class WorkerScreen:
    """Shows how worker processes are.

    Args:
        queue: name of the queue.
        as_json: print a JSON line to stdout for every change.
    """

    def __init__(self, queue: str, *, as_json: bool) -> None:
        self._queue = queue
        self._json = as_json
        self._live = not as_json and console.is_terminal()
        self._last: Totals | None = None
        self._looks = 0
        self._width = 0

    def show(self, places: Sequence[PlaceReport]) -> None:
        """Show how the processes are, if that has changed."""
        from agentbus.agents.queues.health import totals_of

        self._looks += 1
        totals = totals_of(places)
        due = self._json or self._live or self._last is None or self._looks >= LINES_EVERY
        if totals == self._last or not due:
            return
        self._last, self._looks = totals, 0
        if self._json:
            console.data_json({"queue": self._queue, **msgspec.structs.asdict(totals)})
        elif self._live:
            self._width = console.status(status_line(self._queue, totals), self._width)
        else:
            console.say(status_line(self._queue, totals))

    def say(self, line: str) -> None:
        """Say what has happened, above the line that is kept up to date."""
        self.close()
        console.say(line)
        self._last = None

    def close(self) -> None:
        """Wipe the line that is kept up to date."""
        if self._width:
            self._width = console.status("", self._width)


def status_line(queue: str, totals: Totals) -> str:
    """Say in one line how worker processes are."""
    parts = [
        f"{queue}: {totals.processes}/{totals.places} processes",
        f"{totals.running}/{totals.slots} jobs running",
        f"{totals.over} done",
        f"{totals.failed} failed",
        f"{totals.memory // 1_000_000} MB",
    ]
    if totals.stuck:
        parts.append(f"{totals.stuck} stuck")
    if totals.draining:
        parts.append("draining")
    elif not totals.ready:
        parts.append(totals.missing or "looking for the queue")
    return ", ".join(parts)
