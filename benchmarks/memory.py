"""Memory: resident bytes of a server per idle connection with one subscription, and of a process per idle actor."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.process import resident_bytes
from benchmarks.servers import Server, installed
from benchmarks.table import Table, interleaved

WARM_UP = 200
CONNECTIONS = 2000
ACTORS = 100_000


def _connect(server: Server, count: int) -> list[socket.socket]:
    connections: list[socket.socket] = []
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", server.port), 10)
        server.dialect.greet(connection, server.port)
        connection.sendall(server.dialect.subscription().replace(b"bench", b"b%04d" % (number % 1000)))
        connections.append(connection)
    return connections


def _settle(connections: Sequence[socket.socket]) -> None:
    """Read what the server still has to say, so that no backlog is counted as memory of a connection."""
    with contextlib.closing(select.epoll()) as poll:
        by_number = {connection.fileno(): connection for connection in connections}
        for number in by_number:
            poll.register(number, select.EPOLLIN)
        while ready := poll.poll(0.5):
            for number, _ in ready:
                by_number[number].recv(65536)


def per_connection(server: Server) -> dict[str, float]:
    """Bytes per connection, beyond the first few that warm the allocator."""
    warm = _connect(server, WARM_UP)
    _settle(warm)
    before = resident_bytes(server.pid)
    connections = _connect(server, CONNECTIONS)
    _settle(connections)
    time.sleep(0.2)
    grown = resident_bytes(server.pid) - before
    for connection in (*warm, *connections):
        connection.close()
    return {"KB": grown / CONNECTIONS / 1024}


def per_actor() -> float:
    """Bytes of 100 000 idle `LoopActor`s, in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.idle_actors", str(ACTORS)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout)["bytes"])


def run(runs: int) -> list[Table]:
    """Measure idle connections on every installed server, and idle actors."""
    connections = Table("Memory per idle connection, one subscription (KB)", ["server"], lower_is_better=True)
    for name, settings in interleaved(installed(), per_connection, runs).items():
        connections.add(name, "KB", settings["KB"])
    actors = Table(f"Memory of {ACTORS} idle LoopActors (MB)", ["what"])
    actors.add("agentbus LoopActor", "MB", [per_actor() / 1e6 for _ in range(runs)])
    return [connections, actors]
