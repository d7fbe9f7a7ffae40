"""Fan-out: one publisher, 100 subscribers, 1, 8 and 64 publishes in flight; the server's CPU per 100 000 deliveries."""

from __future__ import annotations

import os
import select
import socket
import time
from dataclasses import dataclass

from benchmarks.process import LOAD_CORE, cpu_seconds, pin
from benchmarks.servers import Server, installed
from benchmarks.table import Table, interleaved

SUBSCRIBERS = 100
WINDOWS = (1, 8, 64)
SECONDS = 1.5


@dataclass
class Figures:
    """One measurement of one server at one window."""

    cpu_per_100k: float
    deliveries_per_second: float
    load_share: float


class Load:
    """One publisher and its subscribers, driven by epoll; it counts bytes and parses nothing."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.buffer = memoryview(bytearray(1 << 20))
        self.publication = server.dialect.publication()
        self.subscribers = [self._connect() for _ in range(SUBSCRIBERS)]
        self.publisher = self._connect()
        self.poll = select.epoll()
        self.sockets = {s.fileno(): s for s in self.subscribers}
        for connection in self.subscribers:
            connection.sendall(server.dialect.subscription())
        for connection in (*self.subscribers, self.publisher):
            connection.setblocking(False)
            self.poll.register(connection.fileno(), select.EPOLLIN)
        self._drain()
        self.delivery_size = self._probe()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.server.port), 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.dialect.greet(connection, self.server.port)
        return connection

    def server_cpu(self) -> float:
        """CPU seconds of the server so far."""
        return cpu_seconds(self.server.pid)

    def _read(self, timeout: float) -> int:
        received = 0
        for number, _ in self.poll.poll(timeout):
            if number == self.publisher.fileno():
                self.publisher.recv_into(self.buffer)
            else:
                received += self.sockets[number].recv_into(self.buffer)
        return received

    def _drain(self) -> int:
        """Read until the server has been silent for 0.3 s."""
        total = 0
        while self.poll.poll(0.3):
            total += self._read(0)
        return total

    def _probe(self) -> int:
        """Publish once and see how many bytes a delivery has."""
        self.publisher.send(self.publication)
        total = self._drain()
        if not total or total % SUBSCRIBERS:
            raise RuntimeError(f"{self.server.name} delivered {total} bytes to {SUBSCRIBERS} subscribers")
        return total // SUBSCRIBERS

    def run(self, window: int) -> Figures:
        """Keep `window` publishes in flight for a while."""
        per_publish = self.delivery_size * SUBSCRIBERS
        sent = received = 0
        backlog = b""
        cpu, own = self.server_cpu(), time.process_time()
        start = time.perf_counter()
        while (elapsed := time.perf_counter() - start) < SECONDS:
            room = window - (sent - received // per_publish)
            if room > 0:
                backlog += self.publication * room
                sent += room
            if backlog:
                backlog = self._write(backlog)
            received += self._read(0.5)
        spent, used = self.server_cpu() - cpu, time.process_time() - own
        self._drain()
        deliveries = received / self.delivery_size
        return Figures(spent / deliveries * 100_000, deliveries / elapsed, used / elapsed)

    def _write(self, data: bytes) -> bytes:
        try:
            return data[self.publisher.send(data) :]
        except BlockingIOError:
            return data

    def close(self) -> None:
        """Close every socket."""
        for connection in (*self.subscribers, self.publisher):
            connection.close()
        self.poll.close()


def measure(server: Server) -> dict[str, Figures]:
    """One run of every window against one fresh server."""
    load = Load(server)
    try:
        return {f"W={window}": load.run(window) for window in WINDOWS}
    finally:
        load.close()


def run(runs: int) -> list[Table]:
    """Measure every installed server in turn, `runs` times."""
    pin(LOAD_CORE)
    results = interleaved(installed(), measure, runs)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    cpu = Table(
        "Fan-out 1 → 100: server CPU seconds per 100 000 deliveries", ["server"], lower_is_better=True
    )
    rate = Table("Fan-out 1 → 100: deliveries per second", ["server"], lower_is_better=False)
    share = Table(
        "Fan-out 1 → 100: CPU share of the load generator (near 1: it was the bottleneck)", ["server"]
    )
    for name, windows in results.items():
        for window, figures in windows.items():
            cpu.add(name, window, [f.cpu_per_100k for f in figures])
            rate.add(name, window, [f.deliveries_per_second for f in figures])
            share.add(name, window, [f.load_share for f in figures])
    return [cpu, rate, share]
