"""The tutorial's program runs as it stands and prints what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "tutorial.md"


def test_the_tutorial_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    program = tmp_path / "tutorial.py"
    program.write_text("\n".join(blocks))
    command = [sys.executable, "-X", "utf8", str(program)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=45, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = re.findall(r"^ *# prints (.*)$", "\n".join(blocks), flags=re.MULTILINE)
    assert len(printed) == 7
    assert done.stdout.splitlines() == printed
