"""One hub process for all tests of commands, and a way to run a command in this process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator
from typing import NamedTuple

import pytest

from agentbus.cli.main import main


class Ran(NamedTuple):
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


def _leave_pytest_its_handlers(level: str, form: str) -> None:
    pass


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command as its process would, without the process."""
    for name in ("URL", "KEY", "TOKEN", "SECRET_KEY"):
        monkeypatch.delenv(f"AGENTBUS_{name}", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    for module in ("agentbus.cli.logs", "agentbus.cli.commands.serve"):
        monkeypatch.setattr(f"{module}.configure_logging", _leave_pytest_its_handlers)

    def run(*arguments: str) -> Ran:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        printed = capsys.readouterr()
        return Ran(ended.value.code if isinstance(ended.value.code, int) else 0, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def hub_url() -> Generator[str]:
    """The URL of a development hub in a process of its own."""
    command = [sys.executable, "-m", "agentbus", "serve", "--dev", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        ready = process.stderr.readline()
        assert ready.startswith("agentbus hub ready on ws://127.0.0.1:"), ready
        yield ready.split()[-1]
        process.terminate()
        assert process.wait(timeout=10) == 0
