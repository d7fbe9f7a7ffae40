"""The commands of `docs/running.md`, run in their order as the page shows them."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "running.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ agentbus (.*)$", PAGE, flags=re.MULTILINE)
PORT = "ws://127.0.0.1:7700"
WAIT = 40
Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Generator[Start]:
    """Start a command of the page in a folder that has its `jobs.py`."""
    (tmp_path / "jobs.py").write_text(PROGRAMS[0])
    with ExitStack() as stack:

        def start(line: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "agentbus", *shlex.split(line)]
            process = subprocess.Popen(
                command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def says(process: subprocess.Popen[str], words: str) -> str:
    """Wait for a line; gives it."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return line.rstrip()
    raise AssertionError(f"the command has ended without {words!r}")


def program(source: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=folder, capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_is_run_from_the_hub_to_the_end(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve, host, worker, put, *look = COMMANDS
    hub = start(f"{serve} --port 0")
    url = says(hub, "agentbus hub ready on ").split()[-1]
    monkeypatch.setenv("AGENTBUS_URL", url)
    hosting, working = start(host), start(worker)
    line = says(hosting, "orders is ready")
    assert line in PAGE
    assert says(working, "Ctrl-C drains").replace(url, PORT) in PAGE
    assert says(working, "2/2 processes, 0/8 jobs running, 0 done, 0 failed, ").endswith(" MB")
    done = start(put)
    out, errors = done.communicate(timeout=WAIT)
    assert (done.returncode, errors) == (0, "")
    assert re.fullmatch(r"[0-9a-f]{32}\n", out)
    assert program(PROGRAMS[1].replace(PORT, url), tmp_path) == "receipt for 1234\n"
    looking = [start(line) for line in look]
    shown = [each.communicate(timeout=WAIT) for each in looking]
    assert [errors for _out, errors in shown] == [""] * len(look)
    assert all("orders" in out or "Charge" in out for out, _errors in shown)
    assert out.strip() in shown[1][0], "the job is among those that are done"
    for process in (working, hosting, hub):
        process.send_signal(signal.SIGTERM)
        _out, errors = process.communicate(timeout=WAIT)
        assert process.returncode == 0, errors


def test_a_host_says_why_it_ends(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AGENTBUS_URL", says(start("serve --dev --port 0"), "agentbus hub ready on ").split()[-1]
    )
    hosting = start("queue host orders --store sqlite:///orders.db --set max_attempts=2")
    says(hosting, "orders is ready")
    second = start("queue host orders --store sqlite:///orders.db")
    _out, errors = second.communicate(timeout=WAIT)
    assert second.returncode == 1
    assert re.search(r"agentbus: queue 'orders': default/[0-9a-f]+/queue.orders hosts it", errors)


def test_a_program_with_a_hub_of_its_own_lets_a_worker_and_a_program_join(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(PROGRAMS[0])
    assert program(PROGRAMS[2], tmp_path) == "receipt for 1234\n"
    both = f"""
import os, subprocess, sys
sys.stdout.reconfigure(line_buffering=True)
from agentbus import Bus
with Bus(listen="127.0.0.1:0", node="here") as bus:
    bus.queue("orders", store="memory://").ready.get(timeout=10)
    print(*bus.credentials_env())
    everything = {{**os.environ, **bus.credentials_env()}}
    subprocess.run([sys.executable, "-c", {PROGRAMS[3]!r}], env=everything, check=True)
"""
    names, found = program(both, tmp_path).splitlines()
    assert all(f"`{name}`" in PAGE for name in names.split())
    assert "default/here/queue.orders" in found
