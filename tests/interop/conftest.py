"""A real hub for the official SDK: `agentbus serve` as a user starts it, with its own file."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest

SECRET = "sk_secret_0123456789abcdef0123456789abcdef"
CONFIG = f"""
[limits]
messages_per_second = 1000
message_burst = 1000
connects_per_minute_per_address = 1000

[[apps]]
id = "interop"

[[apps.publishable_keys]]
key = "pk_live_interop"
channel_patterns = ["rooms/**"]
actions = ["publish", "subscribe", "presence", "send"]

[[apps.secret_keys]]
id = "sk_id_interop"
secret = "{SECRET}"
channel_patterns = ["**"]
actions = ["publish", "subscribe", "presence", "send"]
"""


@dataclass(frozen=True)
class RunningHub:
    """A hub process and what a client needs to reach it."""

    process: subprocess.Popen[str]
    url: str

    def facts(self) -> dict[str, Any]:
        """Everything that a scenario reads from its standard input."""
        return {"url": self.url, "key": "pk_live_interop", "tokens": tokens()}


def token(subject: str, *, lifetime: float = 3600, secret: str = SECRET, **claims: Any) -> str:
    now = time.time()
    payload = {"sub": subject, "iat": int(now), "exp": now + lifetime, **claims}
    return jwt.encode(payload, secret, algorithm="HS256", headers={"kid": "sk_id_interop"})


def tokens() -> dict[str, str]:
    ice = {"iceServers": [{"urls": ["turn:turn.example:3478"], "username": "u", "credential": "c"}]}
    return {
        "alice": token("alice", metadata=ice, peerMetadata={"name": "Alice"}),
        "bob": token("bob", peerMetadata={"name": "Bob"}),
        "reader": token("reader", permissions=["subscribe"]),
        "short": token("short", lifetime=1.5),
        "expired": token("late", lifetime=-60),
        "forged": token("mallory", secret="sk_secret_ffffffffffffffffffffffffffffffff"),
    }


@contextlib.contextmanager
def _serving(folder: Path) -> Generator[RunningHub]:
    config = folder / "hub.toml"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "agentbus", "serve", "--config", str(config), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = next((line for line in process.stderr if "agentbus hub ready on" in line), "")
        assert line, "the hub did not start"
        yield RunningHub(process, line.split()[-1])
    finally:
        if process.poll() is None:
            process.terminate()
        status = process.wait(10)
        assert process.stderr is not None
        process.stderr.close()
        assert status == 0


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """One hub that the scenarios share."""
    with _serving(tmp_path_factory.mktemp("hub")) as running:
        yield running


@pytest.fixture
def own_hub(tmp_path: Path) -> Iterator[RunningHub]:
    """A hub that the test may stop."""
    with _serving(tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def sdk() -> Callable[[str], subprocess.Popen[str]]:
    """Start a scenario in the SDK's own environment."""
    root = Path(__file__).resolve().parent
    python = root.parent.parent / ".venv-interop" / "bin" / "python"
    if not python.exists():
        pytest.fail("the official SDK is not set up: run `make interop`")

    def start(name: str) -> subprocess.Popen[str]:
        command = [str(python), str(root / "sdk" / "scenarios.py"), name]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return start
