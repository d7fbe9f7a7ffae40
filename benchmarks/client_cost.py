"""A client's CPU per received message, decoded and handed to its user: ours, the official SDK's, bare websockets + json.

The hub is played by a few lines that flood prepared frames as fast as TCP takes them, so that nothing is dropped and the
receiver alone is measured.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
from collections.abc import Generator

from benchmarks.dialects import PAYLOAD
from benchmarks.process import LOAD_CORE, running
from benchmarks.programs import ROOT, SDK_PYTHON, command
from benchmarks.table import Table

MESSAGES = 100_000
BURST = 50
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MESSAGE = f'{{"type":"message","channel":"bench","from":"2f6f7f86-1c1c-4c9e-a7c1-0a9f1b1f0001","data":{{"n":1,"text":"{PAYLOAD[:230]}"}}}}'
WELCOME = (
    '{"type":"welcome","peerId":"receiver","expiresAt":null,"serverTime":1700000000,"maxMessageSize":65536}'
)


def text_frame(text: str) -> bytes:
    """A server's text frame."""
    payload = text.encode()
    head = (
        bytes([0x81, len(payload)]) if len(payload) < 126 else b"\x81\x7e" + len(payload).to_bytes(2, "big")
    )
    return head + payload


def serve_one(listener: socket.socket) -> None:
    """Accept one client, acknowledge its subscribe, then flood it."""
    connection, _ = listener.accept()
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
        assert key is not None
        accept = base64.b64encode(hashlib.sha1(key[1] + WEBSOCKET_GUID).digest())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        connection.sendall(text_frame(WELCOME))
        if request := re.search(rb'"requestId": *"([^"]+)"', read_frame(connection)):
            connection.sendall(text_frame(f'{{"type":"ack","requestId":"{request[1].decode()}"}}'))
        burst = text_frame(MESSAGE) * BURST
        for _ in range(MESSAGES // BURST):
            connection.sendall(burst)
        with contextlib.suppress(OSError):
            while connection.recv(4096):
                pass


def read_frame(connection: socket.socket) -> bytes:
    """One short masked text frame."""
    head = _exactly(connection, 2)
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(_exactly(connection, 2), "big")
    mask = _exactly(connection, 4)
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(_exactly(connection, size)))


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += connection.recv(size - len(data))
    return data


@contextlib.contextmanager
def flooding() -> Generator[str]:
    """A hub for one client, on a thread; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_one, args=(listener,), daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"


def receive(words: list[str]) -> float:
    """Flood one receiver and return its CPU microseconds per message."""
    with flooding() as url:
        words = [*words, url, str(MESSAGES)]
        with running(words, ready="ready", core=LOAD_CORE, cwd=ROOT, piped=True) as (process, _):
            assert process.stdout is not None
            return float(json.loads(process.stdout.readline())["cpu"]) / MESSAGES * 1e6


def run(runs: int) -> list[Table]:
    """Every client in turn, each in a process of its own."""
    table = Table("Client CPU per received message (µs)", ["client"], lower_is_better=True)
    clients = {"agentbus": command("receive_agentbus"), "websockets + json": command("receive_websockets")}
    if SDK_PYTHON.exists():
        clients["metered-realtime"] = command("receive_metered", python=SDK_PYTHON)
    seen: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, words in clients.items():
            seen.setdefault(name, []).append(receive(words))
    for name, costs in seen.items():
        table.add(name, "CPU", costs)
    return [table]
