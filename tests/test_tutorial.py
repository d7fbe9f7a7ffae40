"""The programs of the documentation run as they stand and print what the pages say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"


def blocks_of(page: str) -> list[str]:
    text = (DOCS / page).read_text()
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def check(source: str, folder: Path, lines: int) -> None:
    program = folder / "program.py"
    program.write_text(source)
    command = [sys.executable, "-X", "utf8", str(program)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=45, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = re.findall(r"^ *# prints (.*)$", source, flags=re.MULTILINE)
    assert len(printed) == lines
    assert done.stdout.splitlines() == printed


def test_the_tutorial_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    check("\n".join(blocks_of("tutorial.md")), tmp_path, 7)


@pytest.mark.parametrize(("page", "lines"), [("supervision.md", 3), ("asking.md", 3), ("budgets.md", 2)])
def test_a_page_begins_with_a_program_that_prints_what_it_says(tmp_path: Path, page: str, lines: int) -> None:
    check(blocks_of(page)[0], tmp_path, lines)
