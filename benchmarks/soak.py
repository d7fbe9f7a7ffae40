"""Soak a hub: a real process under a steady load with chaos, watched from outside.

    python -m benchmarks.soak --minutes 10

Clients that stay talk to each other; others come and go, some through a network that cuts and delays. At the
end: every request on a connection that stayed was acked, memory is flat, and no descriptor is left over.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil

from agentbus import AgentBusError, ReconnectOptions, SignallingClient
from agentbus.testing import ChaosProxy

KEY = "pk_live_soak"
CONFIG = f"""
[server]
port = 0
[limits]
connects_per_minute_per_address = 0
[[apps]]
id = "soak"
[[apps.publishable_keys]]
key = "{KEY}"
channel_patterns = ["**"]
"""
STEADY = 10
GUESTS = 10
PACE = 0.05  # seconds between two publishes of one steady client
SAMPLE_INTERVAL = 0.5
WARM_UP = 0.4  # of the time; allocators and caches fill
MEMORY_GROWTH = 4 << 20  # bytes of noise: arenas that one burst more has touched
PROMPT = ReconnectOptions(initial_delay=0.02, max_delay=0.2, max_attempts=100_000)


@dataclass
class Report:
    """What was seen.

    Attributes:
        memory: resident bytes of the hub, over time.
        files: open files of the hub before the load, and after it.
        lost: requests of steady clients that failed or got no ack.
        missing: messages that a steady listener did not hear.
    """

    acked: int = 0
    heard: int = 0
    lost: list[str] = field(default_factory=list[str])
    visits: int = 0
    cut: int = 0
    memory: list[int] = field(default_factory=list[int])
    files: tuple[int, int] = (0, 0)

    @property
    def growth(self) -> int:
        """Bytes by which the hub has grown: the median of the last fifth over the median after the warm-up."""
        warm = self.memory[int(len(self.memory) * WARM_UP) :]
        fifth = max(1, len(warm) // 5)
        first, last = sorted(warm[:fifth]), sorted(warm[-fifth:])
        return last[len(last) // 2] - first[len(first) // 2]

    def problems(self) -> list[str]:
        """Return what is wrong; nothing, one hopes."""
        found = [f"lost: {what}" for what in self.lost[:10]]
        if self.heard != self.acked * (STEADY - 1):
            found.append(f"{self.acked} messages to {STEADY - 1} listeners were heard {self.heard} times")
        if self.growth > MEMORY_GROWTH:
            found.append(f"memory has grown by {self.growth / 1e6:.1f} MB")
        if self.files[1] > self.files[0]:
            found.append(f"{self.files[1] - self.files[0]} descriptors are left over")
        return found


async def soak(seconds: float, seed: int = 1) -> Report:
    """Run the load for so long."""
    report = Report()
    async with hub_process() as (process, port), ChaosProxy(port, random=Random(seed)) as proxy:
        watched = psutil.Process(process.pid)
        before = watched.num_fds()
        end = time.monotonic() + seconds
        with proxy.delaying(0.005), proxy.cutting(0.01), proxy.half_closing(0.01):
            await asyncio.gather(
                _steady(port, end, report),
                *(_visit(proxy.port, port, end, report, Random(seed + n)) for n in range(GUESTS)),
                _watch(watched, end, report),
            )
        report.cut = proxy.counts.cut + proxy.counts.half_closed
        proxy.cut_all()
        report.files = before, await _settled_files(watched, before)
    return report


@contextlib.asynccontextmanager
async def hub_process() -> AsyncGenerator[tuple[asyncio.subprocess.Process, int]]:
    """Run `agentbus serve` and yield it with its port."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "hub.toml"
        config.write_text(CONFIG)
        command = [
            sys.executable,
            "-m",
            "agentbus",
            "serve",
            "--config",
            str(config),
            "--log-level",
            "warning",
        ]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        assert process.stderr is not None
        ready = await process.stderr.readline()
        drain = asyncio.ensure_future(process.stderr.read())
        try:
            yield process, int(ready.rsplit(b":", 1)[1])
        finally:
            process.terminate()
            await process.wait()
            await drain


def _client(port: int) -> SignallingClient:
    return SignallingClient(api_key=KEY, url=f"ws://127.0.0.1:{port}", reconnect=PROMPT)


async def _steady(port: int, end: float, report: Report) -> None:
    """Stay connected, publish at a pace, hear the others."""
    clients = [_client(port) for _ in range(STEADY)]

    def hear(_event: object) -> None:
        report.heard += 1

    for client in clients:
        await client.connect()
        client.on_message.subscribe(hear)
        await client.subscribe("steady")
    await asyncio.gather(*(_publish(client, end, report) for client in clients))
    expected = report.acked * (STEADY - 1)
    deadline = time.monotonic() + 10
    while report.heard < expected and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    for client in clients:
        await client.dispose()


async def _publish(client: SignallingClient, end: float, report: Report) -> None:
    number = 0
    while time.monotonic() < end:
        try:
            await client.publish("steady", {"n": number, "text": "x" * (number % 4000)})
            report.acked += 1
        except AgentBusError as error:
            report.lost.append(repr(error))
        number += 1
        await asyncio.sleep(PACE)


async def _visit(through: int, direct: int, end: float, report: Report, random: Random) -> None:
    """Come, subscribe, publish, leave; through the chaos or past it; with a good key or a bad one."""
    while time.monotonic() < end:
        client = _client(through if random.random() < 0.7 else direct)
        report.visits += 1
        with contextlib.suppress(AgentBusError):
            await client.connect()
            for number in range(random.randrange(10)):
                await client.subscribe(f"guests/{random.randrange(1000)}")
                await client.publish(f"guests/{number}", "x" * random.randrange(20_000))
        await client.dispose()
        await _knock(direct, random)


async def _knock(port: int, random: Random) -> None:
    """Connect without a word, or with a wrong one."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            random.choice((b"", b"GET /healthz HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"GET /v1?key=x"))
        )
        await asyncio.sleep(0.01)
        writer.transport.abort()
        del reader


async def _watch(process: psutil.Process, end: float, report: Report) -> None:
    while time.monotonic() < end:
        report.memory.append(process.memory_info().rss)
        await asyncio.sleep(SAMPLE_INTERVAL)


async def _settled_files(process: psutil.Process, before: int) -> int:
    """Count the hub's open files once those of the load had the time to go: a close may take 10 s."""
    deadline = time.monotonic() + 15
    while process.num_fds() > before and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return process.num_fds()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="soak a hub")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    report = asyncio.run(soak(chosen.minutes * 60, chosen.seed))
    print(
        f"{report.acked} acked, {report.heard} heard, {report.visits} visits, {report.cut} cut; "
        f"memory {report.memory[-1] / 1e6:.1f} MB, grown by {report.growth / 1e6:.2f} MB; files {report.files}"
    )
    for problem in report.problems():
        print(problem)
    return 1 if report.problems() else 0


if __name__ == "__main__":
    raise SystemExit(main())
