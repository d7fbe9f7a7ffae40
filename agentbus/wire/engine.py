"""One end of an open WebSocket connection without I/O: the fast path, and the way to the general parser.

Nearly every inbound frame is a whole, unfragmented text message without reserved bits. The fast path reads
those straight out of the chunk, many per call. At the first byte of anything else it stops, and the general
parser (`general.py`) takes over for as long as a frame, a fragmented message or the closing handshake is in
progress. The two change places at frame borders only, where neither holds a byte:

    fast ── another kind of frame, or invalid text ──► general
    fast ── half a frame ──► held back until it is whole, then fast again
    general ── the end of that frame, with no message in progress ──► fast
    any ── close(), a close frame or a violation ──► general for good
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from websockets.protocol import Side

from agentbus.wire.framing import (
    MASKED,
    TEXT_HEAD,
    TEXT_HEAD_MEDIUM,
    TEXT_HEAD_SHORT,
    apply_mask,
    frame_length,
    is_utf8,
    peek,
)
from agentbus.wire.general import GeneralParser, MessageHandler

OnText = Callable[[bytes], None]


class Engine:
    """Turn inbound bytes into messages, and messages about the connection itself into outbound bytes.

    Args:
        side: which end of the connection this is.
        max_bytes: largest inbound message; a larger one fails the connection with 1009.

    Attributes:
        steady: the connection is open and the fast path is in charge.
        bare_left: control frames and small fragments that may still come in; one more is 1008.
    """

    __slots__ = ("_dead", "_general", "_held", "_held_until", "_max_bytes", "_server", "bare_left", "steady")

    def __init__(self, side: Side, max_bytes: int) -> None:
        self.steady = True
        self.bare_left = inf
        self._server = side is Side.SERVER
        self._max_bytes = max_bytes
        self._general: GeneralParser | None = None
        self._held: bytearray | None = None
        self._held_until = 0
        self._dead = False

    # -- inbound -------------------------------------------------------------------------------------------

    def receive(self, data: bytes, handler: MessageHandler) -> bool:
        """Take a chunk as it came from the network, cut anywhere.

        The handler may call `close` or `stop` from within; nothing is handed to it after that.

        Returns:
            Whether at least one frame ended in this chunk, control frames included.
        """
        if self._held is not None:
            self._held += data
            if len(self._held) < self._held_until:
                return False
            data = bytes(self._held)
            self._held = None
        return self._consume(data, handler)

    def _consume(self, data: bytes, handler: MessageHandler) -> bool:
        position, size, framed = 0, len(data), False
        scan = self._scan_masked if self._server else self._scan_plain
        while position < size and not self._dead:
            if self.steady:
                start = position
                position = scan(data, position, handler.on_text)
                framed = framed or position > start
                if self.steady and (position == size or self._hold(data, position)):
                    break
            else:
                position, ended = self._feed_general(data, position, handler)
                framed = framed or ended
        return framed

    def _scan_plain(self, data: bytes, position: int, on_text: OnText) -> int:
        """Read whole text frames from a server; stop at the first byte of anything else."""
        size, limit = len(data), self._max_bytes
        last = size - 4  # shorter frames carry no JSON but a digit, and are left to the general parser
        while position <= last and self.steady:
            head, length = peek(data, position)
            if head == TEXT_HEAD_MEDIUM:
                start = position + 4
            elif TEXT_HEAD_SHORT <= head < TEXT_HEAD_MEDIUM:
                length = head - TEXT_HEAD_SHORT
                start = position + 2
            else:
                break
            stop = start + length
            if stop > size or length > limit:
                break
            payload = data[start:stop]
            if not payload.isascii() and not is_utf8(payload):
                break
            position = stop
            on_text(payload)
        return position

    def _scan_masked(self, data: bytes, position: int, on_text: OnText) -> int:
        """Read whole text frames from a client; stop at the first byte of anything else."""
        size, limit = len(data), self._max_bytes
        last = size - 6
        while position <= last and self.steady:
            head, length = peek(data, position)
            if head == TEXT_HEAD_MEDIUM | MASKED:
                start = position + 8
            elif TEXT_HEAD_SHORT | MASKED <= head < TEXT_HEAD_MEDIUM | MASKED:
                length = head - (TEXT_HEAD_SHORT | MASKED)
                start = position + 6
            else:
                break
            stop = start + length
            if stop > size or length > limit:
                break
            payload = apply_mask(data[start:stop], data[start - 4 : start])
            if not payload.isascii() and not is_utf8(payload):
                break
            position = stop
            on_text(payload)
        return position

    def _hold(self, data: bytes, position: int) -> bool:
        """Keep the beginning of what may become a frame for the fast path; else name the general parser."""
        until = self._worth_waiting_for(data, position)
        if until:
            self._held = bytearray(data[position:])
            self._held_until = until
            return True
        self.steady = False
        return False

    def _worth_waiting_for(self, data: bytes, position: int) -> int:
        have = len(data) - position
        if data[position] != TEXT_HEAD:
            return 0
        if have == 1:
            return 2
        masked, short = divmod(data[position + 1], 0x80)
        if masked != self._server or short == 127:
            return 0
        length = frame_length(data, position)
        if length is None:
            return 4
        header = (2 if short < 126 else 4) + 4 * masked
        return length if length > have and length - header <= self._max_bytes else 0

    def _feed_general(self, data: bytes, position: int, handler: MessageHandler) -> tuple[int, bool]:
        general = self._slow_path()
        position, ended = general.feed(data, position, handler)
        if general.bare and not self._afford(general):
            return len(data), True
        self.steady = general.between_messages and not self._dead
        return position, ended

    def _afford(self, general: GeneralParser) -> bool:
        self.bare_left -= general.bare
        general.bare = 0
        if self.bare_left >= 0 or not self.open:
            return True
        general.fail(1008, "too many control frames or fragments")
        return False

    def _slow_path(self) -> GeneralParser:
        if self._general is None:
            side = Side.SERVER if self._server else Side.CLIENT
            self._general = GeneralParser(side, self._max_bytes)
        return self._general

    # -- the end -------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether messages may still be sent: no closing handshake has begun and nothing has stopped it."""
        return not self._dead and (self._general is None or self._general.open)

    @property
    def unsettled(self) -> bool:
        """Whether the general parser has been at work, so that `data_to_send` is worth a call."""
        return self._general is not None

    @property
    def close_received(self) -> bool:
        """Whether the other end has sent its close frame."""
        return self._general is not None and self._general.protocol.close_rcvd is not None

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, once; the close frame is in `data_to_send`."""
        general = self._slow_path()
        self.steady = False
        if self._held is not None:
            # Half a frame is the general parser's now, for it reads all that follows.
            held, self._held = bytes(self._held), None
            general.feed(held, 0, _Nobody())
        general.close(code, reason)

    @property
    def close_begun(self) -> int | None:
        """The code of this end's close frame, if it went out before one came in."""
        return None if self._general is None else self._general.close_begun

    def stop(self) -> None:
        """Ignore everything from here on."""
        self._dead = True
        self.steady = False

    def data_to_send(self) -> list[bytes]:
        """Collect replies to control frames and the close frame, in order; an empty piece ends the stream.

        To be called after each `receive` and `close`.
        """
        if self._general is None:
            return []
        replies = self._general.protocol.data_to_send()
        if self.steady:
            self._general = None  # it holds nothing now, and an idle connection should be small
        return replies

    def verdict(self) -> tuple[int, str] | None:
        """Tell how the connection ended.

        Returns:
            Code and reason of the close frame that came, else of the one that was sent, else None.
        """
        return None if self._general is None else self._general.verdict()


class _Nobody:
    """Hear nothing: half a frame completes no message."""

    def on_text(self, _payload: bytes, /) -> None:
        pass

    def on_binary(self, _size: int, /) -> None:
        pass
