"""When the source of a worker changes: a look at its files now and then.

Looking at the times of some hundred files takes a few milliseconds, works on every system and file system,
and needs no library; it is for development.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

LOOK_INTERVAL = 0.5
"""Seconds between two looks."""

MAX_FILES = 10_000
"""Files that are looked at; what is beyond is not noticed."""

_SKIPPED = {"__pycache__", "node_modules", "site-packages"}

Times = dict[str, int]
"""When each file was changed, in nanoseconds, by its path."""


def root_of(target: str) -> Path:
    """Give the folder whose files a worker is made of: that of its package, or of its module.

    Args:
        target: `module:Class`.

    Raises:
        ValueError: its module has no file.
    """
    top = target.partition(":")[0].partition(".")[0]
    spec = importlib.util.find_spec(top)
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    if spec is None or spec.origin is None or not spec.has_location:
        raise ValueError(f"module {top!r} has no file to watch")
    return Path(spec.origin).parent


def times_of(root: Path) -> Times:
    """Look at all Python files under a folder; one that vanishes meanwhile is not there."""
    times: Times = {}
    for path in _sources(root):
        if len(times) >= MAX_FILES:
            break
        try:
            times[str(path)] = path.stat().st_mtime_ns
        except OSError:
            continue
    return times


def _sources(root: Path) -> Iterator[Path]:
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.suffix == ".py":
                yield entry
            elif entry.is_dir() and entry.name not in _SKIPPED and not entry.name.startswith("."):
                folders.append(entry)


def changed(before: Times, now: Times) -> list[str]:
    """Give the paths of files that are new, gone or changed."""
    return sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))


class SourceWatch:
    """Calls back when a file has changed, from a thread of its own.

    Args:
        root: the folder.
        on_change: gets the paths.
    """

    def __init__(self, root: Path, on_change: Callable[[list[str]], object]) -> None:
        self._root = root
        self._on_change = on_change
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin."""
        before = times_of(self._root)
        threading.Thread(target=self._run, args=(before,), name="agentbus-watch", daemon=True).start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()

    def _run(self, before: Times) -> None:
        while not self._stopped.wait(LOOK_INTERVAL):
            now = times_of(self._root)
            paths = changed(before, now)
            before = now
            if paths:
                self._on_change(paths)
