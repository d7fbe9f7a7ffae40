"""Run a load program on the load's core and read the JSON that it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.process import LOAD_CORE, pin

ROOT = Path(__file__).resolve().parent.parent
SDK_PYTHON = ROOT / ".venv-interop" / "bin" / "python"
AUTOGEN_PYTHON = ROOT / ".venv-autogen" / "bin" / "python"
PEERS = ROOT / "benchmarks" / "peers"


def command(program: str, *arguments: object, python: Path | str = sys.executable) -> list[str]:
    """The command line of one load program."""
    words = [str(argument) for argument in arguments]
    if python in {SDK_PYTHON, AUTOGEN_PYTHON}:
        return [str(python), str(PEERS / f"{program}.py"), *words]
    return [str(python), "-m", f"benchmarks.peers.{program}", *words]


def figures(words: list[str], *, pinned: bool = True) -> dict[str, Any]:
    """Run it to its end and return what it measured.

    Raises:
        RuntimeError: the program failed; its stderr is the text.
    """
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        preexec_fn=(lambda: pin(LOAD_CORE)) if pinned else None,
    )
    if done.returncode:
        raise RuntimeError(f"{words} failed: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
