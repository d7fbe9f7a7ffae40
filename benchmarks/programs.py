"""Run a load program on the load's core and read the JSON that it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.process import LOAD_CORE, pin

ROOT = Path(__file__).resolve().parent.parent
SDK_PYTHON = ROOT / ".venv-interop" / "bin" / "python"
AUTOGEN_PYTHON = ROOT / ".venv-autogen" / "bin" / "python"
ARQ_PYTHON = ROOT / ".venv-arq" / "bin" / "python"
TASKIQ_PYTHON = ROOT / ".venv-taskiq" / "bin" / "python"
ELSEWHERE = {SDK_PYTHON, AUTOGEN_PYTHON, ARQ_PYTHON, TASKIQ_PYTHON}
"""Environments without this project: programs run there by their path."""
PEERS = ROOT / "benchmarks" / "peers"


def command(program: str, *arguments: object, python: Path | str = sys.executable) -> list[str]:
    """The command line of one load program."""
    words = [str(argument) for argument in arguments]
    if python in ELSEWHERE:
        return [str(python), str(PEERS / f"{program}.py"), *words]
    return [str(python), "-m", f"benchmarks.peers.{program}", *words]


def figures(
    words: list[str],
    *,
    pinned: bool = True,
    environment: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> dict[str, Any]:
    """Run it to its end and return what it measured.

    Args:
        words: the command line.
        pinned: to the load's core; else it may use every core.
        environment: variables that it gets besides ours.
        timeout: seconds that it may take.

    Raises:
        RuntimeError: the program failed; its stderr is the text.
    """
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        preexec_fn=(lambda: pin(LOAD_CORE)) if pinned else None,
    )
    if done.returncode:
        raise RuntimeError(f"{words} failed: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
