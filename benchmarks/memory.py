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
from benchmarks.servers import Server, hub, installed, roomy_hub
from benchmarks.table import Table, interleaved

WARM_UP = 200
CONNECTIONS = 2000
ACTORS = 100_000
SETTLED_EVERY = 1000
WEBSOCKET_PING = b"\x89\x00"
WEBSOCKET_PONG = b"\x8a\x80\0\0\0\0"


def _connect(server: Server, count: int, others: Sequence[socket.socket] = ()) -> list[socket.socket]:
    connections: list[socket.socket] = []
    for number in range(count):
        connection = socket.create_connection(("127.0.0.1", server.port), 10)
        server.dialect.greet(connection, server.port)
        connection.sendall(server.dialect.subscription().replace(b"bench", b"b%04d" % (number % 1000)))
        connections.append(connection)
        if number % SETTLED_EVERY == 0:  # the first pings may come before the last connect
            _settle((*others, *connections), 0)
    return connections


def _settle(connections: Sequence[socket.socket], patience: float = 0.5) -> None:
    """Read what the server still has to say, so that no backlog is counted as memory of a connection."""
    with contextlib.closing(select.epoll()) as poll:
        by_number = {connection.fileno(): connection for connection in connections}
        for number in by_number:
            poll.register(number, select.EPOLLIN)
        while ready := poll.poll(patience):
            for number, _ in ready:
                data = by_number[number].recv(65536)
                if not data:
                    raise RuntimeError("the server closed a connection: does it allow so many?")
                if WEBSOCKET_PING in data:
                    by_number[number].sendall(WEBSOCKET_PONG)


def per_connection(server: Server) -> dict[str, float]:
    """KB per connection when there are 2000."""
    return idle_connections(server, CONNECTIONS)


def idle_connections(server: Server, count: int) -> dict[str, float]:
    """KB per connection when there are so many, beyond the first few that warm the allocator."""
    warm = _connect(server, WARM_UP)
    _settle(warm)
    before = resident_bytes(server.pid)
    connections = _connect(server, count, warm)
    _settle(connections)
    time.sleep(0.2)
    grown = resident_bytes(server.pid) - before
    for connection in (*warm, *connections):
        connection.close()
    return {"KB": grown / count / 1024}


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
    servers = [roomy_hub if server is hub else server for server in installed()]
    for name, settings in interleaved(servers, per_connection, runs).items():
        connections.add(name, "KB", settings["KB"])
    actors = Table(f"Memory of {ACTORS} idle LoopActors (MB)", ["what"])
    actors.add("agentbus LoopActor", "MB", [per_actor() / 1e6 for _ in range(runs)])
    return [connections, actors]
