"""The command line as people meet it: real processes, signals, pipes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import IO

import pytest

pytestmark = pytest.mark.e2e
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Generator[Start]:
    """Start `python -m agentbus …`; whatever still runs at the end is killed."""
    with ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "agentbus", *arguments]
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def output(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdout, process.stderr


@pytest.fixture
def url(start: Start) -> str:
    _, err = output(start("serve", "--dev", "--port", "0"))
    ready = err.readline()
    assert ready.startswith("agentbus hub ready on ws://127.0.0.1:")
    return ready.split()[-1]


def test_ctrl_c_ends_sub_quietly_with_0(start: Start, url: str) -> None:
    sub = start("sub", "room", "--url", url)
    _, err = output(sub)
    assert err.readline().startswith("connected as ")
    sub.send_signal(signal.SIGINT)
    rest, errors = sub.communicate(timeout=10)
    assert (sub.returncode, rest, errors) == (0, "", "")


def test_ctrl_c_before_the_work_is_done_is_130_and_quiet(start: Start, url: str) -> None:
    pub = start("pub", "room", "-", "--url", url)
    sub = start("sub", "room", "--url", url)
    out, err = output(sub)
    assert err.readline().startswith("connected as ")
    assert pub.stdin is not None
    pub.stdin.write("1\n")
    pub.stdin.flush()
    assert out.readline().endswith("  1\n")  # it is connected, and waits for more
    pub.send_signal(signal.SIGINT)
    _, errors = pub.communicate(timeout=10)
    assert (pub.returncode, errors) == (130, "")


def test_a_reader_that_leaves_ends_sub_without_a_traceback(start: Start, url: str) -> None:
    sub = start("sub", "room", "--url", url)
    out, err = output(sub)
    assert err.readline().startswith("connected as ")
    out.close()
    pub = start("pub", "room", "1", "--url", url)
    assert pub.wait(timeout=10) == 0
    assert sub.wait(timeout=10) == 1
    assert err.read() == ""


def test_sub_survives_a_restart_of_the_hub(start: Start) -> None:
    hub = start("serve", "--dev", "--port", "0")
    _, hub_err = output(hub)
    url = hub_err.readline().split()[-1]
    sub = start("sub", "room", "--presence", "-n", "3", "--url", url)
    out, err = output(sub)
    assert err.readline().startswith("connected as ")
    assert out.readline() == "room  (nobody else)\n"
    hub.send_signal(signal.SIGTERM)
    assert hub.wait(timeout=10) == 0
    assert "1001" in err.readline()
    again = start("serve", "--dev", "--port", url.rpartition(":")[2])
    assert output(again)[1].readline() == f"agentbus hub ready on {url}\n"
    assert out.readline() == "room  (nobody else)\n"  # it is back, and subscribed again
    pub = start("pub", "room", '"back"', "--url", url)
    assert pub.wait(timeout=10) == 0
    assert out.readline().endswith('  "back"\n')
    assert sub.wait(timeout=10) == 0
    assert "connected again as " in err.read()
