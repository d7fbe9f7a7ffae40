"""Real hub processes on a real nats-server, each to be killed and started again where it was."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_TIMEOUT = 30


def need_nats() -> None:
    """Skip the test where nats-server is missing; in CI it must be there."""
    if shutil.which("nats-server") is None:
        if os.environ.get("CI"):
            pytest.fail("nats-server is not installed: make setup-services")
        pytest.skip("nats-server is not installed: make setup-services")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """A process that says on stderr when it is ready, and can be killed and started again."""

    def __init__(self, command: list[str], ready: str, environment: dict[str, str] | None = None) -> None:
        self._command = command
        self._ready = ready
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self.lines: list[str] = []

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def launch(self) -> None:
        """Start it, without waiting for it."""
        self._process = subprocess.Popen(
            self._command,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            text=True,
            env=os.environ | (self._environment or {}),
        )

    def wait_until_ready(self) -> str:
        """Return the line that says so."""
        return self.wait_for(self._ready)

    def wait_for(self, text: str) -> str:
        """Return the next line with a text in it."""
        assert self._process is not None
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"{self._command} ended: {''.join(self.lines)}")

    def start(self) -> str:
        self.launch()
        return self.wait_until_ready()

    def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as it should be; return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        _, rest = process.communicate(timeout=START_TIMEOUT)
        self.lines.append(rest)
        return process.returncode


class NatsServer(Program):
    """A nats-server on a port that stays the same."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.port = free_port()
        file = folder / "nats.conf"
        file.write_text(f"listen: 127.0.0.1:{self.port}\n{settings}\n")
        super().__init__(["nats-server", "--config", str(file)], "Server is ready")


class HubProgram(Program):
    """An `agentbus serve` on a port that stays the same."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "agentbus", "serve", "--port", str(self.port), *arguments]
        super().__init__(command, "agentbus hub ready on", environment)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def readyz(self) -> tuple[int, str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz") as answer:
            return answer.status, answer.read().decode()


@contextmanager
def started(*programs: Program) -> Generator[None]:
    """Start all at once; whatever runs at the end is killed."""
    try:
        for program in programs:
            program.launch()
        for program in programs:
            program.wait_until_ready()
        yield
    finally:
        for program in programs:
            program.kill()


Condition = Callable[[], object]
