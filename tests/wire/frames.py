"""Bytes for tests: frames whole, broken and hostile, and what the engine and its authority make of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from hypothesis import strategies as st
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from agentbus.wire.engine import Engine
from agentbus.wire.framing import apply_mask, frame_length

KEY = b"\x11\x7e\xa3\xff"


def raw_frame(first: int, payload: bytes, *, masked: bool, width: int | None = None) -> bytes:
    """Build a frame, also one that no honest peer would send.

    Args:
        first: the first byte: FIN, reserved bits, opcode.
        payload: what it carries, unmasked.
        masked: as a client does.
        width: bytes of extended length (0, 2 or 8), also when it need not be so long.
    """
    size = len(payload)
    if width is None:
        width = 0 if size < 126 else 2 if size < 65536 else 8
    short = size if width == 0 else 126 if width == 2 else 127
    head = bytes([first, (0x80 if masked else 0) | short]) + (size.to_bytes(width, "big") if width else b"")
    return head + (KEY + apply_mask(payload, KEY) if masked else payload)


def text(payload: bytes | str, *, masked: bool) -> bytes:
    return raw_frame(0x81, payload.encode() if isinstance(payload, str) else payload, masked=masked)


@dataclass
class Heard:
    """What a connection told, and what it wrote: comparable between implementations."""

    messages: list[bytes | int] = field(default_factory=list[bytes | int])
    written: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])
    half_closed: bool = False
    open: bool = True
    verdict: tuple[int, str] | None = None

    def on_text(self, payload: bytes, /) -> None:
        self.messages.append(payload)

    def on_binary(self, size: int, /) -> None:
        self.messages.append(size)

    def write(self, pieces: list[bytes]) -> None:
        self.half_closed = self.half_closed or b"" in pieces
        self.written += split_frames(b"".join(pieces))


def split_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Take written frames apart into first byte and unmasked payload."""
    found: list[tuple[int, bytes]] = []
    while data:
        size = frame_length(data)
        assert size is not None
        frame, data = data[:size], data[size:]
        start = 2 + (0, 2, 8)[max(0, (frame[1] & 0x7F) - 125)]
        if frame[1] & 0x80:
            found.append((frame[0], apply_mask(frame[start + 4 :], frame[start : start + 4])))
        else:
            found.append((frame[0], frame[start:]))
    return found


def run_engine(side: Side, max_bytes: int, chunks: list[bytes]) -> Heard:
    """Feed the engine, as a connection does."""
    engine, heard = Engine(side, max_bytes), Heard()
    for chunk in chunks:
        engine.receive(chunk, heard)
        heard.write(engine.data_to_send())
    heard.open, heard.verdict = engine.open, engine.verdict()
    return heard


def run_general(side: Side, max_bytes: int, data: bytes) -> Heard:
    """Feed websockets' own state machine byte by byte: the authority."""
    protocol, heard = Protocol(side, max_size=max_bytes), Heard()
    message: list[Frame] = []
    for position in range(len(data)):
        protocol.receive_data(data[position : position + 1])
        for event in protocol.events_received():
            assert isinstance(event, Frame)
            _collect(event, message, protocol, heard)
        heard.write(protocol.data_to_send())
    heard.open = protocol.state is State.OPEN
    close = protocol.close_rcvd or protocol.close_sent
    heard.verdict = None if close is None else (int(close.code), close.reason)
    return heard


def _collect(frame: Frame, message: list[Frame], protocol: Protocol, heard: Heard) -> None:
    if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
        return
    message.append(frame)
    if not frame.fin:
        return
    whole = b"".join(bytes(part.data) for part in message)
    binary = message[0].opcode is Opcode.BINARY
    message.clear()
    if binary:
        heard.on_binary(len(whole))
        return
    try:
        whole.decode()
    except UnicodeDecodeError:
        protocol.fail(CloseCode.INVALID_DATA, "text that is not UTF-8")
    else:
        heard.on_text(whole)


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut data at some positions, taken modulo its size."""
    borders = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(borders) if start < stop]


_texts = st.one_of(
    st.binary(max_size=6),
    st.text(max_size=6).map(str.encode),
    st.sampled_from([0, 1, 125, 126, 127, 199, 200, 201, 300]).map(lambda size: b"x" * size),
    st.just("grüße €".encode() * 12),
)
_close = st.one_of(
    st.sampled_from([1000, 1001, 1005, 1006, 1011, 3000, 4001, 4999, 5000]).map(
        lambda code: code.to_bytes(2, "big") + b"why"
    ),
    st.sampled_from([b"", b"\x03", b"\x03\xe8\xff\xfe"]),
)


def frames(*, masked: bool) -> st.SearchStrategy[bytes]:
    """Any frame that a peer of that side might send, mostly the common kind."""
    mask, short = st.just(masked), st.binary(max_size=8)
    common = st.builds(raw_frame, st.just(0x81), _texts, masked=mask)
    control = st.builds(raw_frame, st.sampled_from([0x89, 0x8A]), short, masked=mask)
    fragment = st.builds(raw_frame, st.sampled_from([0x01, 0x02, 0x00, 0x80, 0x82]), _texts, masked=mask)
    odd = st.builds(
        raw_frame,
        st.sampled_from([0x81, 0x81, 0xC1, 0x91, 0x83, 0x8B, 0x09, 0x88]),
        short,
        masked=st.booleans(),
        width=st.sampled_from([0, 2, 8]),
    )
    close = st.builds(raw_frame, st.just(0x88), _close, masked=mask)
    return st.one_of(common, common, common, control, fragment, fragment, odd, close, st.binary(max_size=4))


def streams(*, masked: bool) -> st.SearchStrategy[bytes]:
    return st.lists(frames(masked=masked), max_size=12).map(b"".join)


cut_positions = st.lists(st.integers(min_value=0, max_value=4000), max_size=12)
