"""Every example runs from one command and says what it promises; the README shows the first one as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SAYS = {
    "hello": ["Hello, world!"],
    "ask_from_asyncio": ["answers: 100, 50, 33.3, 25, 20", "refused: ZeroDivisionError", "too late"],
    "chat_room": ["Bob heard Ada: is anybody there?", "Ada heard Bob: I am", "Ada saw 1 go"],
    "planner": [
        "attempt 1: researcher failed",
        "About agents: agents listen; agents remember; agents recover.",
    ],
    "reconnect_observer": ["coming back", "connected again", "heard: the hub is back"],
}


@pytest.mark.parametrize("example", SAYS)
def test_an_example_runs(example: str) -> None:
    command = [sys.executable, "-m", f"agents_examples.{example}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=45, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in SAYS[example]:
        assert words in done.stdout


def test_every_example_is_tried() -> None:
    found = {path.stem for path in (ROOT / "agents_examples").glob("*.py")} - {"__init__"}
    assert found == set(SAYS)


def test_the_readme_shows_the_very_example() -> None:
    code = (ROOT / "agents_examples" / "hello.py").read_text().partition('"""\n\n')[2]
    assert f"```python\n{code}```" in (ROOT / "README.md").read_text()
