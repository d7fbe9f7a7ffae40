"""The child's side: `python -m agentbus.agents.processes.program`, started by a parent and by nobody else.

Standard input is the socket to the parent, and the argument the parent's process id. The first frame says
what to host; the socket's end is the parent's, and then this process ends too. Where the agent holds the
interpreter's lock, nothing here could notice that: so the kernel is asked to see to it, where it can (Linux).
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from typing import Any

from agentbus.agents.processes.channel import Channel
from agentbus.agents.processes.frames import (
    HEAD,
    Begin,
    Failed,
    ToChild,
    body_length,
    decode_for_child,
    encode_frame,
)
from agentbus.agents.processes.guest import GuestBus, Host
from agentbus.agents.processes.main_module import import_main
from agentbus.agents.processes.parent_death import end_with_parent
from agentbus.agents.worker import load_target
from agentbus.errors import FutureTimeoutError
from agentbus.runtime import Future, default_runtime

CLOSE_TIMEOUT = 2.0
"""Seconds that the bus of this process gets to say goodbye."""


def main() -> int:
    """Host an agent until the parent, or the agent, is done; from the main thread.

    Returns:
        0 if it was asked to end or the agent stopped, 1 if the agent failed.
    """
    end = _take_socket()
    end_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's, who decides for its children
    logging.getLogger("agentbus.runtime").addHandler(logging.NullHandler())  # the parent logs its failures
    over: Future[int] = Future()
    signal.signal(signal.SIGTERM, lambda _number, _frame: over.try_set(0))
    begin = decode_for_child(_read_frame(end))
    if not isinstance(begin, Begin):
        raise TypeError(f"the parent said {begin!r} before it began")
    try:
        if begin.main is not None:
            import_main(begin.main)
        cls = load_target(begin.target)
        spec: Any = pickle.loads(begin.spec)  # noqa: S301 -- from our parent, which wrote it for us
    except Exception as error:  # noqa: BLE001 -- whatever an import raises, the parent is to know
        failed = Failed(type(error).__qualname__, str(error), traceback.format_exc())
        end.sendall(encode_frame(failed))
        return 1
    return _host(end, begin, cls, spec, over)


def _host(end: socket.socket, begin: Begin, cls: type[Any], spec: Any, over: Future[int]) -> int:
    runtime = default_runtime()
    host = Host(begin, over, runtime)
    bus = GuestBus(host, begin, runtime)
    runtime.agents.run(_serve(end, host, bus, cls, spec)).add_done_callback(
        lambda done: over.try_set(1 if done.exception() is not None else 0)
    )
    code = over.get()
    threading.Thread(target=_insist, args=(code,), daemon=True).start()
    with contextlib.suppress(FutureTimeoutError):
        bus.close().get(timeout=CLOSE_TIMEOUT)
        host.flush().get(timeout=CLOSE_TIMEOUT)
    return code


async def _serve(end: socket.socket, host: Host, bus: GuestBus, cls: type[Any], spec: Any) -> None:
    end.settimeout(0.0)
    channel = await Channel[ToChild].over(end, decode_for_child)
    host.connect(channel, bus.host(cls, spec))
    async for frame in channel.frames():
        host.take(frame)


def _insist(code: int) -> None:
    """End this process even if an agent's thread, or what it has registered for the exit, does not let it."""
    time.sleep(2 * CLOSE_TIMEOUT)
    os._exit(code)


def _take_socket() -> socket.socket:
    """Take the socket that came as standard input; whoever reads that finds it empty."""
    end = socket.socket(fileno=os.dup(0))
    end.settimeout(None)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return end


def _read_frame(end: socket.socket) -> bytes:
    return _read(end, body_length(_read(end, HEAD.size)))


def _read(end: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = end.recv(size - len(data))
        if not part:
            raise ConnectionError("the parent is gone")
        data += part
    return data


if __name__ == "__main__":
    sys.exit(main())
