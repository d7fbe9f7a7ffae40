"""The general parser: websockets' Sans-I/O state machine for an open connection, fed frame by frame.

It is the authority on RFC 6455: control frames, fragments, the closing handshake and every violation are its
business. This wrapper adds two things. It feeds the state machine no further than the end of the current
frame, so that its caller knows when nothing of a frame or message is left inside and may go back to the fast
path. And it puts fragments together and checks text for UTF-8, which the state machine leaves to its user.
"""

from __future__ import annotations

import logging
from typing import Final, Protocol

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol as SansIO
from websockets.protocol import Side, State

from agentbus.wire.framing import clip_reason, frame_length, header_prefix, is_utf8


class _MutedLogger(logging.Logger):
    """Log nothing, whatever anybody configures: it is outside the logging tree."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: ARG002, N802 -- the base class names them
        return False

    def handle(self, record: logging.LogRecord) -> None:
        pass


# At DEBUG websockets logs request lines, which carry credentials, and payloads (protocol section 7).
MUTED: Final = _MutedLogger("agentbus.wire.muted")


_SMALL_FRAGMENT: Final = 512
"""Bytes; a fragment with fewer costs its receiver more than the network."""


class MessageHandler(Protocol):
    """Who is told of messages."""

    def on_text(self, payload: bytes, /) -> None:
        """Take one whole text message, valid UTF-8."""

    def on_binary(self, size: int, /) -> None:
        """Hear of one whole binary message, which the protocol does not use, of so many bytes."""


class GeneralParser:
    """One open WebSocket connection without I/O, at the pace of one frame per call.

    Args:
        side: which end of the connection this is.
        max_bytes: largest inbound message, fragments together; a larger one fails the connection with 1009.

    Attributes:
        bare: frames so far that ended no message and held next to nothing, for the caller to count and reset.
    """

    __slots__ = ("_head", "_left", "_message", "_text", "bare", "listening", "protocol")

    def __init__(self, side: Side, max_bytes: int) -> None:
        self.protocol = SansIO(side, max_size=max_bytes, logger=MUTED)
        self.listening = True
        self.bare = 0
        self._message: bytearray | None = None
        self._text = False
        self._head = b""
        self._left = 0

    @property
    def open(self) -> bool:
        """Whether no closing handshake has begun."""
        return self.protocol.state is State.OPEN

    @property
    def close_begun(self) -> int | None:
        """The code of this end's close frame, if it went out before one came in."""
        sent = self.protocol.close_sent
        first = sent is not None and not self.protocol.close_rcvd_then_sent
        return int(sent.code) if sent is not None and first else None

    @property
    def between_messages(self) -> bool:
        """Whether the connection is open and nothing of a frame or of a fragmented message is held here."""
        return self.open and self._left == 0 and not self._head and self._message is None

    def feed(self, data: bytes, position: int, handler: MessageHandler) -> tuple[int, bool]:
        """Consume up to the end of the current frame.

        Returns:
            Where the next frame begins (the end of the data if this one is not over), and whether one ended.
        """
        stop = self._frame_end(data, position) if self.open else len(data)
        self.protocol.receive_data(data[position:stop])
        frames = self.protocol.events_received()
        for frame in frames:
            self._on_frame(frame, handler)
        return stop, bool(frames)

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; from here on no message is handed over."""
        self.listening = False
        if self.open:
            self.protocol.send_close(code, clip_reason(reason))

    def fail(self, code: int, reason: str) -> None:
        """Fail the connection: a close frame, and nothing more is read."""
        self.protocol.fail(code, reason)

    def verdict(self) -> tuple[int, str] | None:
        """Tell how the connection ended.

        Returns:
            Code and reason of the close frame that came, else of the one that was sent, else None.
        """
        close = self.protocol.close_rcvd or self.protocol.close_sent
        return None if close is None else (int(close.code), close.reason)

    def _frame_end(self, data: bytes, position: int) -> int:
        if self._left == 0:
            head = self._head + header_prefix(data, position, len(self._head))
            length = frame_length(head)
            if length is None:
                self._head = head
                return len(data)
            self._left = length - len(self._head)
            self._head = b""
        stop = min(position + self._left, len(data))
        self._left -= stop - position
        return stop

    def _on_frame(self, frame: object, handler: MessageHandler) -> None:
        if not isinstance(frame, Frame) or not self.listening:
            return
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._text = frame.opcode is Opcode.TEXT
            self._message = bytearray()
        elif frame.opcode is not Opcode.CONT or self._message is None:
            self.bare += 1
            return
        # One buffer, no list: empty fragments count for no size limit and would fill it without end.
        self._message += frame.data
        self.bare += not frame.fin and len(frame.data) < _SMALL_FRAGMENT
        if frame.fin:
            message, self._message = bytes(self._message), None
            self._deliver(message, handler)

    def _deliver(self, message: bytes, handler: MessageHandler) -> None:
        if not self._text:
            handler.on_binary(len(message))
        elif is_utf8(message):
            handler.on_text(message)
        else:
            self.protocol.fail(CloseCode.INVALID_DATA, "text that is not UTF-8")
