"""What both ends of a connection share: from bytes to messages, from pieces to one write, and a clean end.

A life:  connection_made ─► upgrade (the subclass's) ─► open ─► closing ─► connection_lost
"""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod

from agentbus.wire.engine import Engine
from agentbus.wire.framing import check_close_code
from agentbus.wire.general import MessageHandler
from agentbus.wire.transport import ABNORMAL
from agentbus.wire.writer import Flusher

_PONG = 0x8A

FRAMES_PER_WRITE = 32
"""Frames for one connection alone that are worth a write before the turn of the loop is over.

Whoever answers a burst in one go keeps the other end idle meanwhile, and is idle while the other answers.
"""


READ_BYTES = 1 << 18
"""What one read takes from the network at most."""


class _Inbox(threading.local):
    """Where a thread's loop puts what it reads, until it is copied in the same breath."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(READ_BYTES))


_inbox = _Inbox()


class Connection(asyncio.BufferedProtocol):
    """An asyncio protocol that speaks WebSocket once its subclass has done the upgrade.

    Args:
        flusher: gathers the writes of its loop.
        close_timeout: seconds from the beginning of the closing handshake to an abort.

    Attributes:
        congested: the network takes no more for now, and the backlog grows with every send.
    """

    __slots__ = ("_close_timeout", "_engine", "_flusher", "_pieces", "_timer", "_transport", "congested")

    def __init__(self, flusher: Flusher, close_timeout: float) -> None:
        self.congested = False
        self._flusher = flusher
        self._close_timeout = close_timeout
        self._transport: asyncio.Transport | None = None
        self._engine: Engine | None = None
        self._pieces: list[bytes] | None = None  # None: messages can't be sent, not yet or no more
        self._timer: asyncio.TimerHandle | None = None

    @abstractmethod
    def _ended(self, code: int, reason: str) -> None:
        """Report that the connection has ended."""

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """Take bytes as they came from the network, cut anywhere."""

    # -- what asyncio calls --------------------------------------------------------------------------------

    # A loop that reads for an `asyncio.Protocol` allocates 256 KiB per read and gives most of it back: with
    # glibc that is three system calls, as so much is mapped by itself. So it reads into a buffer of ours.

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- the base class names it
        """Say where to put what is read."""
        return _inbox.view

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was put there."""
        self.data_received(bytes(_inbox.view[:nbytes]))

    def eof_received(self) -> None:
        """Let the transport close itself: after the last byte nothing can follow."""

    def pause_writing(self) -> None:
        """Note that the network takes no more for now."""
        self.congested = True

    def resume_writing(self) -> None:
        """Note that the buffer has drained."""
        self.congested = False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- the base class names it
        """Report the end, with the close frame's verdict if there was one."""
        engine, self._engine = self._engine, None
        self._transport = None
        self._pieces = None
        self._rearm(None)
        verdict = engine.verdict() if engine else None
        if engine:
            engine.stop()
        self._ended(*(verdict or (ABNORMAL, "")))

    # -- open ----------------------------------------------------------------------------------------------

    def _opened(self, engine: Engine) -> None:
        self._engine = engine
        self._pieces = []

    def _receive(self, engine: Engine, data: bytes, handler: MessageHandler) -> bool:
        framed = engine.receive(data, handler)
        if engine.unsettled:
            self._settle(engine)
        return framed

    def _send(self, piece: bytes) -> None:
        pieces = self._pieces
        if not pieces:
            if pieces is None:
                return
            self._flusher.mark(self)
        pieces.append(piece)

    def flush(self) -> None:
        """Write what has gathered; the flusher calls it once per turn."""
        pieces = self._pieces
        if pieces and self._transport is not None:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            self._transport.write(data)

    @property
    def open(self) -> bool:
        """Whether messages can be sent: the upgrade is done, and no closing handshake has begun."""
        return self._pieces is not None

    @property
    def backlog_bytes(self) -> int:
        """Bytes sent and not yet taken by the network. Costs a little: look at `congested` first."""
        gathered = sum(map(len, self._pieces or ()))
        return gathered + (self._transport.get_write_buffer_size() if self._transport else 0)

    # -- the end -------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake, after everything sent before; idempotent. Not open yet: abort.

        Args:
            code: a code that may be sent; it is reported if the other end answers with none.
            reason: cut to the 123 bytes that fit.

        Raises:
            ValueError: for a code that must not be sent, such as 1006.
        """
        check_close_code(code)
        engine = self._engine
        if engine is None:
            self.abort()
        elif engine.open:
            engine.close(code, reason)
            self._settle(engine)

    def abort(self) -> None:
        """End the connection at once, without a closing handshake."""
        self._pieces = None
        if self._engine is not None:
            self._engine.stop()
        if self._transport is not None:
            self._transport.abort()

    def _settle(self, engine: Engine) -> None:
        stream_over = False
        for piece in engine.data_to_send():
            # Whoever pings and never reads must not fill the buffer with pongs.
            if piece and not (self.congested and piece[0] == _PONG):
                self._send(piece)
            stream_over = stream_over or not piece
        if not engine.open and self._transport is not None:
            self._wind_down(self._transport)
            if stream_over:
                self._end_stream(self._transport, engine)

    def _wind_down(self, transport: asyncio.Transport) -> None:
        if self._pieces is None:
            return
        self.flush()
        self._pieces = None
        self._rearm(self._flusher.loop.call_later(self._close_timeout, transport.abort))

    def _end_stream(self, transport: asyncio.Transport, engine: Engine) -> None:
        # Closing a socket with unread input resets it, and the other end would never see the close frame. So
        # a connection that was failed is half-closed, and its input discarded until the other end closes.
        if engine.close_received or not transport.can_write_eof():
            transport.close()
        elif not transport.is_closing():
            transport.write_eof()

    def _rearm(self, timer: asyncio.TimerHandle | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer
