from __future__ import annotations

import io
import sys

import pytest

from agentbus.cli.progress import make_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_it_prints_lines_and_not_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    progress = make_progress(100, "files")
    progress.line("worker \x1b[31mkilled")
    for done in range(1, 101):
        progress.update(done, "reading a.md")
    progress.stop()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "worker \\x1b[31mkilled",
        "25 of 100 files",
        "50 of 100 files",
        "75 of 100 files",
        "100 of 100 files",
    ]


def test_on_a_terminal_it_draws_a_bar_below_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    progress = make_progress(10, "files")
    progress.update(3, "reading [bold]a.md\x07")
    progress.line("worker killed")
    progress.stop()
    shown = terminal.getvalue()
    assert "worker killed" in shown
    assert "3/10" in shown
    assert "reading [bold]a.md\\x07" in shown
    assert "\x07" not in shown
