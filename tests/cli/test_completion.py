"""What a shell is told when somebody presses TAB."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def completed(line: str) -> list[str]:
    """Complete the last word of a line, as bash asks for it."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    environment = {**os.environ, **words, "_AGENTBUS_COMPLETE": "complete_bash"}
    command = [sys.executable, "-m", "agentbus"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=40, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("agentbus que", {"queue"}),
        ("agentbus queue r", {"retry", "resume"}),
        ("agentbus queue peek orders --state de", {"delayed", "dead"}),
        ("agentbus worker --pro", {"--processes"}),
    ],
)
def test_commands_options_and_values_are_completed(line: str, wanted: set[str]) -> None:
    assert set(completed(line)) == wanted


@pytest.mark.parametrize(
    ("shell", "words"), [("bash", "complete -o default -F"), ("zsh", "compdef"), ("fish", "complete")]
)
def test_the_script_for_a_shell_is_shown(shell: str, words: str) -> None:
    environment = {**os.environ, "_AGENTBUS_COMPLETE": f"source_{shell}"}
    command = [sys.executable, "-m", "agentbus"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    assert "_AGENTBUS_COMPLETE" in done.stdout
