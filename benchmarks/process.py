"""Processes under measurement: pinned to a core, their CPU and memory read from the operating system."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Generator, Mapping
from pathlib import Path

import psutil

SERVER_CORE = 0
LOAD_CORE = 1


def pin(core: int, pid: int = 0) -> None:
    """Keep a process on one core, where the machine has more than one and lets us."""
    if hasattr(os, "sched_setaffinity") and core in os.sched_getaffinity(pid):
        os.sched_setaffinity(pid, {core})


def cpu_seconds(pid: int) -> float:
    """User plus system time of one process so far."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def resident_bytes(pid: int) -> int:
    """Resident memory of one process."""
    return psutil.Process(pid).memory_info().rss


@contextlib.contextmanager
def running(
    command: list[str],
    *,
    ready: str = "",
    core: int = SERVER_CORE,
    cwd: Path | None = None,
    piped: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run a program on one core until the block ends; wait for the line of its stderr that holds `ready`.

    Args:
        command: the program and its arguments.
        ready: what the line holds.
        core: where it runs.
        cwd: where it starts.
        piped: its stdin and stdout are pipes to us; otherwise it has none.
        environment: variables that it gets besides ours.
    """
    pipe = subprocess.PIPE if piped else subprocess.DEVNULL
    process = subprocess.Popen(
        command,
        stdin=pipe,
        stdout=pipe,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        preexec_fn=lambda: pin(core),
    )
    try:
        yield process, _line_with(process, ready)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _line_with(process: subprocess.Popen[str], text: str) -> str:
    assert process.stderr is not None
    seen: list[str] = []
    for line in process.stderr:
        seen.append(line)
        if text in line:
            return line
    raise RuntimeError(f"{process.args!r} ended before it was ready: {''.join(seen)}")
