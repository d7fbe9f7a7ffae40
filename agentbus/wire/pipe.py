"""An in-memory pair of asyncio transports on one loop: a socket pair without sockets.

    PipeTransport ── Stream ──► PipeTransport
                  ◄── Stream ──

Bytes arrive in a later turn of the loop, in order. Both ends have back pressure, half close and abort as
sockets do, and the order of events follows from the order of calls alone. So it is what an embedded hub runs
on, and what the simulation puts its faults into: a fault is another kind of `Stream`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, cast

HIGH_WATER_BYTES: Final = 64 * 1024
"""Undelivered bytes at which a writer is told to pause, and with which a closed end is let go."""

END: Final = b""
"""The mark in a stream after which nothing follows."""


class Stream:
    """One direction of a pipe: what one end wrote and the other has not been told yet.

    Args:
        loop: of both ends.
        source: the end that writes.
        sink: the end that is told.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, source: PipeTransport, sink: PipeTransport) -> None:
        self.loop = loop
        self.source = source
        self.sink = sink
        self.undelivered_bytes = 0
        self._queue: deque[bytes] = deque()
        self._reset = False
        self._scheduled = False

    def push(self, data: bytes) -> None:
        """Put bytes, or `END`, on their way."""
        self._queue.append(data)
        self.undelivered_bytes += len(data)
        self.wake()

    def reset(self) -> None:
        """Drop what is under way, and break the connection at the sink."""
        self._queue.clear()
        self.undelivered_bytes = 0
        self._reset = True
        self.wake()

    def wake(self) -> None:
        """Deliver in a later turn what can be delivered by then."""
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._run)

    def take(self) -> Iterable[bytes]:
        """Take from the queue what arrives now."""
        taken, self._queue = self._queue, deque[bytes]()
        return taken

    def _run(self) -> None:
        self._scheduled = False
        if self._reset:
            self.sink.break_off(ConnectionResetError("the other end broke the connection off"))
        elif self.sink.is_reading() or self.sink.is_closing():
            self._deliver(list(self.take()))

    def _deliver(self, arrived: list[bytes]) -> None:
        data = b"".join(arrived)
        self.undelivered_bytes -= len(data)
        if data:
            self.sink.tell(data)
        if arrived and arrived[-1] == END:
            self.sink.tell_end()
        self.source.drained()


class PipeTransport(asyncio.Transport):
    """One end of a pipe.

    Args:
        loop: of both ends.
        protocol: who is told.
        own: address of this end (`sockname`).
        peer: address of the other end (`peername`).
    """

    inbound: Stream
    outbound: Stream

    def __init__(
        self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol, own: str, peer: str
    ) -> None:
        super().__init__({"sockname": (own, 0), "peername": (peer, 0)})
        self.loop = loop
        self._protocol = protocol
        self._reading = True
        self._ended = False
        self._closing = False
        self._lost = False
        self._high = HIGH_WATER_BYTES
        self._low = HIGH_WATER_BYTES // 4
        self._paused = False

    # -- writing ---------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hand bytes to the other end, in a later turn; after a close or the end of the stream drop them."""
        if self._closing or self._ended or not data:
            return
        self.outbound.push(bytes(data))
        if not self._paused and self.outbound.undelivered_bytes > self._high:
            self._paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        """Tell that one direction can end before the other."""
        return True

    def write_eof(self) -> None:
        """End the stream to the other end after what was written; reading goes on."""
        if not self._closing and not self._ended:
            self._ended = True
            self.outbound.push(END)

    def get_write_buffer_size(self) -> int:
        """Give the bytes written and not yet delivered."""
        return self.outbound.undelivered_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Give the low and the high water mark, in bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks, in bytes, at which the protocol is told to pause and to resume."""
        if high is None:
            high = HIGH_WATER_BYTES if low is None else 4 * low
        self._high = high
        self._low = high // 4 if low is None else low

    def drained(self) -> None:
        """Note that bytes have arrived at the other end."""
        left = self.outbound.undelivered_bytes
        if self._paused and left <= self._low and not self._lost:
            self._paused = False
            self._protocol.resume_writing()
        if self._closing and left <= HIGH_WATER_BYTES:
            self._lose(None)

    # -- reading ---------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Tell whether the protocol wants data."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Stop telling the protocol of data; the other end's buffer fills."""
        self._reading = False

    def resume_reading(self) -> None:
        """Go on telling the protocol of data."""
        self._reading = True
        self.inbound.wake()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the transport over to another protocol."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Give the current protocol."""
        return self._protocol

    def tell(self, data: bytes) -> None:
        """Deliver data to the protocol; a protocol that raises loses the connection, as on a socket."""
        if self._closing:
            return
        try:
            cast("asyncio.Protocol", self._protocol).data_received(data)
        except Exception as error:  # noqa: BLE001 -- what asyncio's own transports do
            self.loop.call_exception_handler({"message": "data_received() failed", "exception": error})
            self.outbound.reset()
            self.break_off(error)

    def tell_end(self) -> None:
        """Deliver the end of the stream."""
        if not self._closing and not cast("asyncio.Protocol", self._protocol).eof_received():
            self.close()

    # -- the end ---------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Tell whether nothing more can be written."""
        return self._closing

    @property
    def lost(self) -> bool:
        """Whether the protocol has been told that the connection is over."""
        return self._lost

    def close(self) -> None:
        """Deliver what was written, then end; nothing more is read."""
        if self._closing:
            return
        self.write_eof()
        self._closing = True
        if self.outbound.undelivered_bytes <= HIGH_WATER_BYTES:
            self.loop.call_soon(self._lose, None)

    def abort(self) -> None:
        """End at once, and drop what is under way to the other end."""
        if not self._lost:
            self._closing = True
            self.outbound.reset()
            self.loop.call_soon(self._lose, None)

    def break_off(self, error: Exception) -> None:
        """Lose the connection because of an error."""
        self._closing = True
        self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._protocol.connection_lost(error)


StreamFactory = Callable[[asyncio.AbstractEventLoop, PipeTransport, PipeTransport], Stream]


def connect_in_memory(
    loop: asyncio.AbstractEventLoop,
    client: asyncio.BaseProtocol,
    server: asyncio.BaseProtocol,
    *,
    stream: StreamFactory = Stream,
    client_address: str = "in-memory",
    server_address: str = "in-memory",
) -> tuple[PipeTransport, PipeTransport]:
    """Connect two protocols; each hears `connection_made` in the loop's next turn, the server first.

    Args:
        loop: on which both live.
        client: the protocol of one end.
        server: the protocol of the other.
        stream: makes each direction.
        client_address: what the server sees as its peer.
        server_address: what the client sees as its peer.

    Returns:
        The client's transport and the server's.
    """
    near = PipeTransport(loop, client, client_address, server_address)
    far = PipeTransport(loop, server, server_address, client_address)
    near.outbound = far.inbound = stream(loop, near, far)
    far.outbound = near.inbound = stream(loop, far, near)
    loop.call_soon(server.connection_made, far)
    loop.call_soon(client.connection_made, near)
    return near, far
