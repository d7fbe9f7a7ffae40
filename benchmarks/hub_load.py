"""A hub under load: 10 000 idle connections, a storm of 5000 connects, and readers that take 1 MB/s of 4 MB/s.

Needs `ulimit -n` above 10 200 for this process and for the servers.
"""

from __future__ import annotations

import resource
import select
import shutil
import socket
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.dialects import masked_text
from benchmarks.memory import idle_connections
from benchmarks.process import LOAD_CORE, pin, resident_bytes
from benchmarks.servers import Server, nats, roomy_hub
from benchmarks.table import Table, interleaved

IDLE = 10_000
STORM = 5000
SLOW, QUICK = 5, 5
PRODUCED = 4_000_000  # bytes per second
READ = 1_000_000
SECONDS = 12.0
PAYLOAD = "x" * 50_000
UPGRADE = (
    b"GET /v1?key=pk_live_dev HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDAwMDAwMDAwMDAwMDAwMA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


# -- many that do nothing ------------------------------------------------------------------------------------


def idle(server: Server) -> dict[str, float]:
    """KB per connection when there are 10 000."""
    return idle_connections(server, IDLE)


# -- many at once --------------------------------------------------------------------------------------------


def storm(server: Server) -> dict[str, float]:
    """Dial 5000 times without waiting; seconds until all are welcome, and how long each took."""
    poll, began = select.epoll(), dict[int, float]()
    sockets: dict[int, socket.socket] = {}
    start = time.monotonic()
    for _ in range(STORM):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", server.port))
        sockets[one.fileno()] = one
        began[one.fileno()] = time.monotonic()
        poll.register(one, select.EPOLLOUT)
    took, failed, seen = list[float](), 0, dict[int, bytes]()
    while len(took) + failed < STORM:
        for number, event in poll.poll(30):
            if event & select.EPOLLOUT and not event & (select.EPOLLERR | select.EPOLLHUP):
                sockets[number].sendall(UPGRADE)
                poll.modify(number, select.EPOLLIN)
                continue
            seen[number] = seen.get(number, b"") + _read(sockets[number])
            if b'"welcome"' in seen[number]:
                took.append(time.monotonic() - began[number])
            elif event & (select.EPOLLERR | select.EPOLLHUP) or not seen[number].startswith(b"HTTP/1.1 101"):
                failed += 1
            else:
                continue
            poll.unregister(number)
    total = time.monotonic() - start
    for one in sockets.values():
        one.close()
    took.sort()
    return {
        "seconds": total,
        "connects/s": STORM / total,
        "median s": statistics.median(took),
        "99 % s": took[int(len(took) * 0.99)],
        "failed": failed,
    }


def _read(one: socket.socket) -> bytes:
    try:
        return one.recv(4096)
    except OSError:
        return b""


# -- readers that are too slow -------------------------------------------------------------------------------


class Reader:
    """Subscribes, and reads at a pace."""

    def __init__(self, server: Server, rate: float | None) -> None:
        self.connection = socket.create_connection(("127.0.0.1", server.port), 10)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        server.dialect.greet(self.connection, server.port)
        self.connection.sendall(server.dialect.subscription())
        self.connection.setblocking(False)
        self.rate = rate
        self.got = 0
        self.open = True

    def read(self, elapsed: float) -> None:
        """Take what its pace allows."""
        allowed = 1 << 20 if self.rate is None else int(self.rate * elapsed) - self.got
        while self.open and allowed > 0:
            try:
                data = self.connection.recv(min(allowed, 65536))
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self.open = bool(data)
            self.got += len(data)
            allowed -= len(data)


def slow_readers(server: Server) -> dict[str, float]:
    """Publish 4 MB/s to readers of 1 MB/s and to quick ones; who is dropped, and what it costs the hub."""
    before = resident_bytes(server.pid)
    slow = [Reader(server, READ) for _ in range(SLOW)]
    quick = [Reader(server, None) for _ in range(QUICK)]
    publisher = socket.create_connection(("127.0.0.1", server.port), 10)
    server.dialect.greet(publisher, server.port)
    frame = masked_text(f'{{"type":"publish","channel":"bench","data":"{PAYLOAD}"}}'.encode())
    start, sent, most, dropped_at = time.monotonic(), 0, 0, 0.0
    while (elapsed := time.monotonic() - start) < SECONDS:
        while sent * len(PAYLOAD) < PRODUCED * elapsed:
            publisher.sendall(frame)
            sent += 1
        for reader in (*slow, *quick):
            reader.read(elapsed)
        most = max(most, resident_bytes(server.pid) - before)
        if not dropped_at and not any(reader.open for reader in slow):
            dropped_at = elapsed
        time.sleep(0.002)
    for reader in (*slow, *quick):
        reader.connection.close()
    publisher.close()
    return {
        "slow dropped": sum(not reader.open for reader in slow),
        "after s": dropped_at,
        "quick dropped": sum(not reader.open for reader in quick),
        "quick got MB/s": statistics.median(reader.got for reader in quick) / SECONDS / 1e6,
        "hub grew MB": most / 1e6,
    }


# -- tables --------------------------------------------------------------------------------------------------


def run(runs: int) -> list[Table]:
    """Measure all three on our hub, the first beside nats-server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 200:
        print(f"hub_load needs ulimit -n above {IDLE + 200}; it is {hard}: left out", file=sys.stderr)
        return []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + 200), hard))
    pin(LOAD_CORE)
    servers: list[Callable[[], AbstractContextManager[Server]]] = [roomy_hub]
    if shutil.which("nats-server"):
        servers.append(nats)
    return [
        _table(f"Memory per connection, {IDLE} idle ones (KB)", servers, idle, runs),
        _table(f"A storm of {STORM} connects", [roomy_hub], storm, runs),
        _table(
            f"{SLOW} readers of 1 MB/s and {QUICK} quick ones, 4 MB/s published",
            [roomy_hub],
            slow_readers,
            runs,
        ),
    ]


def _table(
    title: str,
    servers: list[Callable[[], AbstractContextManager[Server]]],
    measure: Callable[[Server], dict[str, float]],
    runs: int,
) -> Table:
    table = Table(title, ["server"], lower_is_better=True if len(servers) > 1 else None)
    for name, settings in interleaved(servers, measure, runs).items():
        for column, figures in settings.items():
            table.add(name, column, figures)
    return table
