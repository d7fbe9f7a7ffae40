"""Progress on stderr: a bar for a person at a terminal, plain lines for everything else."""

from __future__ import annotations

import sys
from typing import Protocol

from agentbus.cli import console
from agentbus.cli.text import clean

_LINES_WANTED = 4  # of plain progress, over the whole of the work


class Progress(Protocol):
    """Shows how far the work is, and what happens on the way."""

    def line(self, text: str) -> None:
        """Say what happened."""
        ...

    def update(self, done: int, doing: str = "") -> None:
        """Show how much is done, and what is being done now."""
        ...

    def stop(self) -> None:
        """Leave the terminal as it was."""
        ...


def make_progress(total: int | None, unit: str) -> Progress:
    """Make what suits stderr; `total` pieces of work, called `unit`; None if nobody knows how many."""
    return _Bar(total, unit) if console.is_terminal() else _Lines(total, unit)


class _Lines:
    """A line per event, and one per quarter of the work."""

    def __init__(self, total: int | None, unit: str) -> None:
        self._total = total
        self._unit = unit
        self._said = 0

    def line(self, text: str) -> None:
        console.say(text)

    def update(self, done: int, doing: str = "") -> None:
        del doing  # a bar shows it, a line would flood
        if self._total is None:
            return
        quarter = done * _LINES_WANTED // max(self._total, 1)
        if quarter > self._said:
            self._said = quarter
            console.say(f"{done} of {self._total} {self._unit}")

    def stop(self) -> None:
        pass


class _Bar:
    """One bar at the bottom, events above it."""

    def __init__(self, total: int | None, unit: str) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit, markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False, style="dim"),
            console=console.console(sys.stderr),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=total)
        self._bar.start()

    def line(self, text: str) -> None:
        self._bar.console.print(clean(text), soft_wrap=True)

    def update(self, done: int, doing: str = "") -> None:
        self._bar.update(self._task, completed=done, description=clean(doing))

    def stop(self) -> None:
        self._bar.stop()
