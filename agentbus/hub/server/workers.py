"""`agentbus serve --workers N`: N processes on one port, each a hub, all of them one.

The process that was started listens to nobody. It holds the port, so that it stays the same, starts the
workers, starts one again that died, and passes signals on. Each worker is tied to it by a pair of sockets:
the worker says over it that it is ready, and stops when its other end is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentbus.errors import HubConfigError
from agentbus.hub.backplane.local import LocalRelay

VARIABLE = "AGENTBUS_WORKER"
"""Says to a worker which one it is: `number:fd:relay's socket`, the last one empty over NATS."""

READY = b"ready\n"
MISCONFIGURED = 2
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 10.0
STEADY_AFTER = 30.0
"""Seconds after which a worker's death counts as its first again."""

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_log = logging.getLogger("agentbus.hub")


@dataclass(frozen=True)
class Worker:
    """What a worker knows of itself.

    Attributes:
        number: from 1.
        tie: the socket to the process that started it.
        relay: the local relay's socket; None where the workers meet over NATS.
    """

    number: int
    tie: socket.socket
    relay: Path | None

    def ready(self) -> None:
        """Say that connections are accepted."""
        with contextlib.suppress(OSError):
            self.tie.sendall(READY)

    def watch(self, on_orphaned: Callable[[], object]) -> None:
        """Have it called when the process that started this one is gone; on the running loop."""
        loop = asyncio.get_running_loop()

        def look() -> None:
            with contextlib.suppress(OSError):
                if self.tie.recv(64):
                    return
            loop.remove_reader(self.tie)
            on_orphaned()

        loop.add_reader(self.tie, look)


def this_worker(environment: Mapping[str, str] = os.environ) -> Worker | None:
    """Tell which worker this process is; None where it is none."""
    text = environment.get(VARIABLE)
    if not text:
        return None
    number, descriptor, relay = text.split(":", 2)
    return Worker(int(number), socket.socket(fileno=int(descriptor)), Path(relay) if relay else None)


def run_workers(
    count: int,
    arguments: Sequence[str],
    host: str,
    port: int,
    *,
    relayed: bool,
    reloads: bool,
    on_ready: Callable[[int], object],
    on_stopping: Callable[[], object],
) -> int:
    """Run workers until SIGINT or SIGTERM.

    Args:
        count: how many.
        arguments: of `agentbus`, for each of them; `--port` is added.
        host: what they listen on.
        port: 0 picks a free one.
        relayed: they meet over a relay of ours, not over NATS.
        reloads: they read a file again on SIGHUP; without one, it stops them.
        on_ready: told the port once all accept connections.
        on_stopping: told at the first signal.

    Returns:
        The exit code.

    Raises:
        HubConfigError: nobody can listen there, or not many at once.
    """
    holder = _hold(host, port)
    with contextlib.closing(holder), tempfile.TemporaryDirectory(prefix="agentbus-") as folder:
        relay = Path(folder) / "relay" if relayed else None
        command = [sys.executable, "-m", "agentbus", *arguments, "--port", str(holder.getsockname()[1])]
        fleet = _Fleet(count, command, relay, lambda: on_ready(holder.getsockname()[1]), on_stopping)
        fleet.reloads = reloads
        return asyncio.run(fleet.run())


def _hold(host: str, port: int) -> socket.socket:
    """Bind the port without listening: connections go to those who listen."""
    if not hasattr(socket, "SO_REUSEPORT"):
        raise HubConfigError("server", "workers", "this system has no SO_REUSEPORT: one process is all")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        holder = socket.socket(family, socket.SOCK_STREAM)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(address)
    except OSError as error:
        words = error.strerror or str(error)
        raise HubConfigError("server", "host and port", f"{host}:{port}: {words}") from None
    return holder


class _Fleet:
    def __init__(
        self,
        count: int,
        command: list[str],
        relay: Path | None,
        on_ready: Callable[[], object],
        on_stopping: Callable[[], object],
    ) -> None:
        self._count = count
        self._command = command
        self._relay = relay
        self._on_ready = on_ready
        self._on_stopping = on_stopping
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._ready: set[int] = set()
        self._stopping = asyncio.Event()
        self._said = False
        self._code = 0
        self.reloads = False

    async def run(self) -> int:
        relay = None if self._relay is None else LocalRelay(self._relay)
        if relay is not None:
            await relay.start()
        loop = asyncio.get_running_loop()
        for number in FORWARDED:
            loop.add_signal_handler(number, self._on_signal, number)
        await asyncio.gather(*(self._keep(number) for number in range(1, self._count + 1)))
        if relay is not None:
            await relay.stop()
        return self._code

    async def _keep(self, number: int) -> None:
        """Run one worker, again and again."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began = loop.time()
            code = await self._live(number)
            if self._stopping.is_set():
                return
            if not self._said and code == MISCONFIGURED:
                self._stop(code)
                return
            pause = FIRST_PAUSE if loop.time() - began > STEADY_AFTER else min(2 * pause, LONGEST_PAUSE)
            _log.error("worker %d ended with %d and is started again in %.1f s", number, code, pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _live(self, number: int) -> int:
        ours, theirs = socket.socketpair()
        with contextlib.closing(ours):
            with contextlib.closing(theirs):
                words = f"{number}:{theirs.fileno()}:{self._relay or ''}"
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    env={**os.environ, VARIABLE: words},
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,  # a terminal's Ctrl-C comes from us alone, and once
                )
            self._processes[number] = process
            if self._stopping.is_set():
                process.terminate()
            hearing = asyncio.create_task(self._hear(number, ours))
            try:
                return await process.wait()
            finally:
                hearing.cancel()
                del self._processes[number]
                self._ready.discard(number)

    async def _hear(self, number: int, ours: socket.socket) -> None:
        ours.setblocking(False)  # noqa: FBT003 -- its only argument
        if await asyncio.get_running_loop().sock_recv(ours, len(READY)) != READY:
            return
        self._ready.add(number)
        if not self._said and len(self._ready) == self._count:
            self._said = True
            self._on_ready()

    def _on_signal(self, number: signal.Signals) -> None:
        if number is not signal.SIGHUP or not self.reloads:
            if not self._stopping.is_set():
                self._on_stopping()
            else:
                self._code = 128 + number  # the workers end at once, too
            self._stopping.set()
        self._tell(number)

    def _stop(self, code: int) -> None:
        self._code = code
        self._stopping.set()
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for process in tuple(self._processes.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
