"""The command line as people meet it: real processes, signals, pipes."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest

from agentbus import Bus

pytestmark = pytest.mark.e2e
Start = Callable[..., subprocess.Popen[str]]
START_AND_END = 40  # seconds, for a machine with much else to do


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


def test_a_development_hub_ends_with_its_terminal(start: Start) -> None:
    hub = start("serve", "--dev", "--port", "0")
    assert output(hub)[1].readline().startswith("agentbus hub ready")
    hub.send_signal(signal.SIGHUP)
    assert hub.wait(timeout=START_AND_END) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_sub_quietly_with_0(start: Start, url: str, number: signal.Signals) -> None:
    sub = start("sub", "room", "--url", url)
    _, err = output(sub)
    assert err.readline().startswith("connected as ")
    sub.send_signal(number)
    rest, errors = sub.communicate(timeout=START_AND_END)
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
    _, errors = pub.communicate(timeout=START_AND_END)
    assert (pub.returncode, errors) == (130, "")


def test_a_reader_that_leaves_ends_sub_without_a_traceback(start: Start, url: str) -> None:
    sub = start("sub", "room", "--url", url)
    out, err = output(sub)
    assert err.readline().startswith("connected as ")
    out.close()
    pub = start("pub", "room", "1", "--url", url)
    assert pub.wait(timeout=START_AND_END) == 0
    assert sub.wait(timeout=START_AND_END) == 1
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
    assert hub.wait(timeout=START_AND_END) == 0
    assert "1001" in err.readline()
    assert "the hub said" not in err.readline()  # nobody was there to say anything
    again = start("serve", "--dev", "--port", url.rpartition(":")[2])
    assert output(again)[1].readline() == f"agentbus hub ready on {url}\n"
    assert out.readline() == "room  (nobody else)\n"  # it is back, and subscribed again
    pub = start("pub", "room", '"back"', "--url", url)
    assert pub.wait(timeout=START_AND_END) == 0
    assert out.readline().endswith('  "back"\n')
    assert sub.wait(timeout=START_AND_END) == 0
    assert "connected again as " in err.read()


def test_message_counts_survive_a_restart_of_a_hub_with_a_data_dir(start: Start, tmp_path: Path) -> None:
    config, key = tmp_path / "hub.toml", "pk_live_metered"
    config.write_text(
        f'[[apps]]\nid = "a"\nmax_messages_per_period = 2\n[[apps.publishable_keys]]\nkey = "{key}"\n'
        'channel_patterns = ["**"]\nactions = ["publish"]\nallowed_origins = []\n'
    )
    arguments = ("serve", "--config", str(config), "--port", "0", "--data-dir", str(tmp_path / "data"))
    for number, code in ((1, 0), (2, 0), (3, 1)):
        hub = start(*arguments)
        url = output(hub)[1].readline().split()[-1]
        pub = start("pub", "room", "1", "--url", url, "--key", key)
        _, errors = pub.communicate(timeout=START_AND_END)
        assert pub.returncode == code, f"message {number}: {errors}"
        hub.send_signal(signal.SIGTERM)
        assert hub.wait(timeout=START_AND_END) == 0
    assert "over_message_quota" in errors


def test_a_worker_hosts_an_agent_of_the_callers_until_ctrl_c(
    start: Start, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "greeting_of_e2e.py").write_text(
        "from agentbus import AgentActor, Message, handles\n"
        "class Greet(Message):\n    name: str\n"
        "class Greeting(Message):\n    text: str\n"
        "class Greeter(AgentActor):\n"
        "    @handles\n"
        "    def greet(self, request: Greet) -> Greeting:\n"
        "        return Greeting(text='Hello, ' + request.name)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    worker = start("worker", "greeting_of_e2e:Greeter", "--url", url)
    mine = importlib.import_module("greeting_of_e2e")
    with Bus(url, api_key="pk_live_dev") as bus:
        (greeter,) = bus.wait_for(name="greeter").get(timeout=START_AND_END)
        assert greeter.ask(mine.Greet("you")).get(timeout=START_AND_END).text == "Hello, you"
    worker.send_signal(signal.SIGINT)
    out, err = worker.communicate(timeout=START_AND_END)
    assert (worker.returncode, out) == (0, "")
    assert err.count("\n") == 1


@pytest.mark.parametrize("start_it", [["-m", "agentbus"], [str(Path(sys.executable).with_name("agentbus"))]])
def test_ctrl_c_while_the_command_is_still_importing_is_130_and_quiet(
    start_it: list[str], tmp_path: Path
) -> None:
    """What it imports first of others' is a stand-in that gets the interrupt in the middle of that."""
    (tmp_path / "pykka.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, *start_it, "queue", "ls"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=START_AND_END, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
