"""WebSocket frames as bytes: what RFC 6455 section 5 says about one frame, as pure functions."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from websockets.exceptions import ProtocolError
from websockets.frames import Close

Bytes = bytes | bytearray | memoryview
Mask = Callable[[Bytes, bytes | bytearray], bytes]


def _fastest_mask() -> Mask:
    try:
        from websockets.speedups import apply_mask
    except ImportError:  # websockets was built without its C extension
        from websockets.utils import apply_mask
    return apply_mask


apply_mask: Final[Mask] = _fastest_mask()

TEXT_HEAD: Final = 0x81
"""First byte of a whole text message: FIN, no reserved bits, opcode 1."""

TEXT_HEAD_SHORT: Final = TEXT_HEAD << 8
"""First two bytes of a whole text message, as a number, without its length of up to 125 bytes."""

TEXT_HEAD_MEDIUM: Final = TEXT_HEAD_SHORT | 126
"""The same, if the length is in the two bytes that follow."""

MASKED: Final = 0x80
"""What a client adds to those, as it masks."""

PING: Final = b"\x89\x00"
"""An empty ping as a server writes it."""

CLOSE_REASON_BYTES: Final = 123
"""What fits into a control frame beside the code."""

peek: Final = struct.Struct("!HH").unpack_from
"""Read the first four bytes of a frame at a position: its head, and the length of a medium one."""

_LONGEST_HEADER: Final = 14
_head_short = struct.Struct("!BB").pack
_head_medium = struct.Struct("!BBH").pack
masked_head_medium = struct.Struct("!BBH4s").pack
"""Build the header of a text frame of 126 to 65535 bytes as a client sends it, its masking key included."""

_head_long = struct.Struct("!BBQ").pack


def text_header(size: int, mask_bit: int) -> bytes:
    """Build the header of a whole text frame, without the masking key.

    Args:
        size: bytes of payload.
        mask_bit: 0x80 from a client, 0 from a server.
    """
    if size < 126:
        return _head_short(TEXT_HEAD, mask_bit | size)
    if size < 65536:
        return _head_medium(TEXT_HEAD, mask_bit | 126, size)
    return _head_long(TEXT_HEAD, mask_bit | 127, size)


def frame_text(payload: bytes) -> bytes:
    """Frame a text message as a server sends it: unmasked, so the same bytes go to every connection."""
    return text_header(len(payload), 0) + payload


def mask_text(payload: bytes, key: bytes) -> tuple[bytes, bytes]:
    """Frame a text message as a client sends it.

    Args:
        payload: the message, UTF-8.
        key: four unpredictable bytes, fresh for each frame.

    Returns:
        Header with key, and masked payload: pieces to be joined by one write.
    """
    return text_header(len(payload), 0x80) + key, apply_mask(payload, key)


def frame_length(data: bytes, position: int = 0) -> int | None:
    """Measure the frame whose header starts at a position, masking key included.

    Returns:
        Bytes of header and payload, or None while the header is incomplete.
    """
    have = len(data) - position
    if have < 2:
        return None
    second = data[position + 1]
    header = 6 if second & 0x80 else 2
    size = second & 0x7F
    extended = (0, 2, 8)[max(0, size - 125)]
    if extended:
        if have < 2 + extended:
            return None
        size = int.from_bytes(data[position + 2 : position + 2 + extended], "big")
    return header + extended + size


def header_prefix(data: bytes, position: int, already: int) -> bytes:
    """Take no more bytes than a header can have, of which some are already known."""
    return data[position : position + _LONGEST_HEADER - already]


def is_utf8(payload: bytes) -> bool:
    """Tell whether a text message is what RFC 6455 section 8.1 asks of it."""
    if payload.isascii():
        return True
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def clip_reason(reason: str) -> str:
    """Cut a close reason to what a control frame holds, at a character's border."""
    encoded = reason.encode("utf-8", "replace")
    return encoded[:CLOSE_REASON_BYTES].decode("utf-8", "ignore")


def check_close_code(code: int) -> None:
    """Refuse a close code that must not be on the wire, such as 1005 and 1006.

    Raises:
        ValueError: for such a code (RFC 6455 section 7.4).
    """
    try:
        Close(code, "").check()
    except ProtocolError:
        raise ValueError(f"{code} is no close code that can be sent") from None
