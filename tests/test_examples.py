"""Every example runs from one command and says what it promises; the README shows the first one as it is."""

from __future__ import annotations

import os
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
    "synthesis": [
        "asked: may I write ['message buses are old', 'message buses are cheap']?",
        "approved by Ada",
        "In short: message buses are old, and message buses are cheap.\n4966 of 5000 tokens are left.",
    ],
    "tool_relay": [
        "the meteorologist is asked about Bergen",
        "the diary is asked about June",
        'Go on Friday: the forecast says rain until Thursday, then sun, and of ["Tuesday","Friday"]',
    ],
    "debate": [
        "against: one more thing to run.",
        "no more: tokens wanted",
        "judge: After",
        "no debate on less: tokens wanted 400, left 10",
    ],
    "bridge": [
        "counter: Ada, that has 4 words",
        "Ada: @nobody hello\nAda: @echo is anybody there?\necho: IS ANYBODY THERE?",
    ],
    "queue_fleet": [
        "receipt 1, after 2 attempts\nthe card was charged 1 time(s)",
        "a lamp and a kettle to Bergen",
        "the floor is swept\n0 dead letters",
    ],
    "reconnect_observer": ["coming back", "connected again", "heard: the hub is back"],
}


@pytest.mark.parametrize("example", SAYS)
def test_an_example_runs(example: str) -> None:
    command = [sys.executable, "-m", f"agents_examples.{example}"]
    offline = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    done = subprocess.run(
        command, cwd=ROOT, env=offline, capture_output=True, text=True, timeout=45, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for words in SAYS[example]:
        assert words in done.stdout


def test_every_example_is_tried() -> None:
    found = {path.stem for path in (ROOT / "agents_examples").glob("*.py")} - {"__init__", "local_model"}
    assert found == set(SAYS)


def test_the_readme_shows_the_very_example() -> None:
    code = (ROOT / "agents_examples" / "hello.py").read_text().partition('"""\n\n')[2]
    assert f"```python\n{code}```" in (ROOT / "README.md").read_text()
