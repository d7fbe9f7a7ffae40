"""How to say the same things to different servers: greet, subscribe, publish; as raw bytes, so that the load is cheap."""

from __future__ import annotations

import base64
import os
import socket
from typing import Protocol

CHANNEL = "bench"
PAYLOAD = "x" * 256


class Dialect(Protocol):
    """What the load generator needs to know of a server's protocol."""

    def greet(self, connection: socket.socket, port: int) -> None:
        """Do the handshake on a blocking socket."""
        ...

    def subscription(self) -> bytes:
        """Bytes that subscribe the connection to the channel."""
        ...

    def publication(self) -> bytes:
        """Bytes that publish one payload to the channel."""
        ...


def masked_text(payload: bytes) -> bytes:
    """A client's text frame with the zero mask, which leaves the payload as it is."""
    size = len(payload)
    if size < 126:
        head = bytes([0x81, 0x80 | size])
    elif size < 65536:
        head = bytes([0x81, 0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x81, 0x80 | 127]) + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload


def upgrade(connection: socket.socket, port: int, target: str) -> None:
    """Open a WebSocket by hand and read the response head."""
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)
    if b" 101 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError(head.decode("latin-1"))


class Hub:
    """Our hub, or anything that speaks its wire protocol."""

    def greet(self, connection: socket.socket, port: int) -> None:
        upgrade(connection, port, "/v1?key=pk_live_dev")
        connection.recv(65536)  # the welcome

    def subscription(self) -> bytes:
        return masked_text(f'{{"type":"subscribe","channel":"{CHANNEL}"}}'.encode())

    def publication(self) -> bytes:
        return masked_text(f'{{"type":"publish","channel":"{CHANNEL}","data":"{PAYLOAD}"}}'.encode())


class Broadcast:
    """A plain WebSocket server that sends what it gets to every other connection."""

    def greet(self, connection: socket.socket, port: int) -> None:
        upgrade(connection, port, "/")

    def subscription(self) -> bytes:
        return b""

    def publication(self) -> bytes:
        return masked_text(PAYLOAD.encode())


class Nats:
    """The NATS text protocol over TCP."""

    def greet(self, connection: socket.socket, port: int) -> None:
        del port
        connection.recv(65536)  # INFO
        connection.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\n')

    def subscription(self) -> bytes:
        return f"SUB {CHANNEL} 1\r\n".encode()

    def publication(self) -> bytes:
        return f"PUB {CHANNEL} {len(PAYLOAD)}\r\n{PAYLOAD}\r\n".encode()


class Redis:
    """RESP, redis' protocol."""

    def greet(self, connection: socket.socket, port: int) -> None:
        del connection, port

    def subscription(self) -> bytes:
        return self._command("SUBSCRIBE", CHANNEL)

    def publication(self) -> bytes:
        return self._command("PUBLISH", CHANNEL, PAYLOAD)

    @staticmethod
    def _command(*words: str) -> bytes:
        return f"*{len(words)}\r\n{''.join(f'${len(word)}{chr(13)}{chr(10)}{word}{chr(13)}{chr(10)}' for word in words)}".encode()
