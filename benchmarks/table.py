"""Medians, spreads and ratios of interleaved runs, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

S = TypeVar("S")
F = TypeVar("F")


class Table:
    """Rows are what was measured, columns the settings; a cell holds every run's figure and shows the median.

    Args:
        title: what the figures are, with their unit.
        heads: name of the first column.
        lower_is_better: how to read the ratio to the first row; None leaves ratios out.
    """

    def __init__(self, title: str, heads: Sequence[str], *, lower_is_better: bool | None = None) -> None:
        self.title = title
        self.head = heads[0]
        self.lower_is_better = lower_is_better
        self.cells: dict[str, dict[str, list[float]]] = {}

    def add(self, row: str, column: str, figures: Sequence[float]) -> None:
        """Record every run's figure for one cell."""
        self.cells.setdefault(row, {})[column] = list(figures)

    def median(self, row: str, column: str) -> float:
        """The figure to quote."""
        return statistics.median(self.cells[row][column])

    def markdown(self) -> str:
        """The table as a Markdown section."""
        columns = list(dict.fromkeys(column for cells in self.cells.values() for column in cells))
        lines = [
            f"## {self.title}",
            "",
            f"| {self.head} | {' | '.join(columns)} |",
            "|---" * (len(columns) + 1) + "|",
        ]
        lines += [f"| {row} | {' | '.join(self._cell(row, c) for c in columns)} |" for row in self.cells]
        return "\n".join(lines) + "\n"

    def _cell(self, row: str, column: str) -> str:
        figures = self.cells[row].get(column)
        if not figures:
            return "–"
        text = f"{number(statistics.median(figures))} ({number(min(figures))}–{number(max(figures))})"
        first = next(iter(self.cells))
        if self.lower_is_better is None or row == first or column not in self.cells[first]:
            return text
        return f"{text}, {self.median(row, column) / self.median(first, column):.2f}×"


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 1000 else f"{value:.3g}"


def interleaved(
    servers: Sequence[Callable[[], AbstractContextManager[S]]],
    measure: Callable[[S], dict[str, F]],
    runs: int,
) -> dict[str, dict[str, list[F]]]:
    """Run every server in turn, `runs` times over, so that the machine's drift meets all of them.

    Returns:
        Server name → setting → one figure a run.
    """
    results: dict[str, dict[str, list[F]]] = {}
    for _ in range(runs):
        for factory in servers:
            with factory() as server:
                named: Any = server
                for setting, figures in measure(server).items():
                    results.setdefault(named.name, {}).setdefault(setting, []).append(figures)
    return results
