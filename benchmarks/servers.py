"""The servers that are compared, each started fresh, alone on its core, and stopped afterwards."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from benchmarks.dialects import Broadcast, Dialect, Hub, Nats, Redis
from benchmarks.process import running

ROOMY = """
[server]
port = 0
[limits]
messages_per_second = 0
connects_per_minute_per_address = 0
[[apps]]
id = "dev"
max_connections = 100000
[[apps.publishable_keys]]
key = "pk_live_dev"
channel_patterns = ["**"]
"""


@dataclass(frozen=True)
class Server:
    """A running server: its name in the table, its process, its port on loopback, its protocol, and what its clients' environment needs."""

    name: str
    pid: int
    port: int
    dialect: Dialect
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@contextlib.contextmanager
def hub() -> Generator[Server]:
    """Our hub as a user starts it: `agentbus serve --dev`."""
    command = [sys.executable, "-m", "agentbus", "serve", "--dev", "--port", "0", "--log-level", "warning"]
    with running(command, ready="agentbus hub ready on") as (process, line):
        yield Server("agentbus", process.pid, int(line.rsplit(":", 1)[1]), Hub())


@contextlib.contextmanager
def roomy_hub() -> Generator[Server]:
    """Our hub with room for more connections than `--dev` has."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(ROOMY)
        file.flush()
        command = [sys.executable, "-m", "agentbus", "serve", "--config", file.name, "--log-level", "warning"]
        with running(command, ready="agentbus hub ready on") as (process, line):
            yield Server("agentbus", process.pid, int(line.rsplit(":", 1)[1]), Hub())


@contextlib.contextmanager
def broadcast() -> Generator[Server]:
    """The `websockets` library's own server and `broadcast`."""
    with running([sys.executable, "-m", "benchmarks.peers.broadcast"], ready="ready on") as (process, line):
        yield Server("websockets broadcast", process.pid, int(line.rsplit(" ", 1)[1]), Broadcast())


@contextlib.contextmanager
def nats(settings: str = "") -> Generator[Server]:
    """nats-server over plain TCP, one process on one core; with lines of its configuration file, or its defaults."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(settings)
        file.flush()
        command = ["nats-server", "--addr", "127.0.0.1", "--port", "-1", "--config", file.name]
        with running(command, ready="Listening for client connections") as (process, line):
            port = int(re.findall(r":(\d+)\s*$", line)[0])
            yield Server("nats-server", process.pid, port, Nats())


@contextlib.contextmanager
def redis(*settings: str) -> Generator[Server]:
    """redis-server, without persistence unless the settings of its command line say otherwise."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", *settings]
    with running(["sh", "-c", 'echo go >&2; exec "$@"', "sh", *command], ready="go") as (process, _):
        _wait_for(port)
        yield Server("redis", process.pid, port, Redis())


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}")


def installed() -> list[Callable[[], AbstractContextManager[Server]]]:
    """Every server that this machine can run, ours first; a missing one is said on stderr."""
    servers: list[Callable[[], AbstractContextManager[Server]]] = [hub, broadcast]
    for name, server in (("nats-server", nats), ("redis-server", redis)):
        if shutil.which(name):
            servers.append(server)
        else:
            print(f"{name} is not installed and left out (make setup-services)", file=sys.stderr)
    return servers
