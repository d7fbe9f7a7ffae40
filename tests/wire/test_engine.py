"""The fast path and the way to the general parser and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.protocol import Side

from agentbus.wire.engine import Engine
from tests.wire.frames import (
    Heard,
    chunked,
    cut_positions,
    raw_frame,
    run_engine,
    run_general,
    split_frames,
    streams,
    text,
)

SMALL = 200
BOTH = pytest.mark.parametrize("side", [Side.SERVER, Side.CLIENT])


@given(data=st.data(), side=st.sampled_from([Side.SERVER, Side.CLIENT]), cuts=cut_positions)
@settings(max_examples=300, deadline=None)
def test_the_same_bytes_give_the_same_events_and_replies_under_any_chunking(
    data: st.DataObject, side: Side, cuts: list[int]
) -> None:
    stream = data.draw(streams(masked=side is Side.SERVER))
    assert run_engine(side, SMALL, chunked(stream, cuts)) == run_general(side, SMALL, stream)


@BOTH
def test_every_border_of_a_mixed_stream_is_a_safe_place_to_cut(side: Side) -> None:
    masked = side is Side.SERVER
    stream = (
        text("a" * 130, masked=masked)
        + raw_frame(0x89, b"hi", masked=masked)
        + text("grüße", masked=masked)
        + raw_frame(0x01, b"one ", masked=masked)
        + raw_frame(0x8A, b"", masked=masked)
        + raw_frame(0x80, b"two", masked=masked)
        + raw_frame(0x81, b"wide", masked=masked, width=8)
        + text("", masked=masked)
        + raw_frame(0x88, b"\x0f\xa1bye", masked=masked)
        + text("too late", masked=masked)
    )
    expected = run_general(side, SMALL, stream)
    assert expected.messages == [b"a" * 130, "grüße".encode(), b"one two", b"wide", b""]
    assert expected.verdict == (4001, "bye")
    for first in range(len(stream)):
        for second in range(first, len(stream), 7):
            assert run_engine(side, SMALL, chunked(stream, [first, second])) == expected


@BOTH
@pytest.mark.parametrize("first", [0x81, 0xC1, 0x83, 0x01, 0x80, 0x88, 0x89, 0x09])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    ("size", "width"), [(0, 0), (0, 2), (0, 8), (2, 0), (2, 2), (2, 8), (130, 2), (201, 2)]
)
def test_every_beginning_of_an_odd_frame_has_the_general_parsers_answer(
    side: Side, first: int, masked: bool, size: int, width: int
) -> None:
    stream = raw_frame(first, b"\x0f" * size, masked=masked, width=width)
    for end in range(min(len(stream), 16) + 1):
        expected = run_general(side, SMALL, stream[:end])
        assert run_engine(side, SMALL, [stream[i : i + 1] for i in range(end)]) == expected
        assert run_engine(side, SMALL, [stream[:end]]) == expected


@BOTH
@pytest.mark.parametrize("size", [125, 126, 65535, 65536, 70000])
def test_long_frames_pass_in_one_piece_and_in_many(side: Side, size: int) -> None:
    stream = text(b"x" * size, masked=side is Side.SERVER) * 2
    for step in (len(stream), 1000, size + 1):
        chunks = [stream[start : start + step] for start in range(0, len(stream), step)]
        assert run_engine(side, 1 << 20, chunks).messages == [b"x" * size] * 2


@BOTH
def test_a_message_over_the_limit_ends_the_connection_with_1009(side: Side) -> None:
    masked = side is Side.SERVER
    whole = text(b"x" * (SMALL + 1), masked=masked)
    in_fragments = raw_frame(0x01, b"x" * SMALL, masked=masked) + raw_frame(0x80, b"x", masked=masked)
    for stream in (whole, whole[:8], in_fragments):
        heard = run_engine(side, SMALL, [stream])
        assert heard.messages == []
        assert heard.verdict is not None
        assert heard.verdict[0] == 1009


@BOTH
def test_text_that_is_not_utf8_ends_the_connection_with_1007(side: Side) -> None:
    masked = side is Side.SERVER
    split_sign = raw_frame(0x01, b"\xe2\x82", masked=masked) + raw_frame(0x80, b"\xac", masked=masked)
    assert run_engine(side, SMALL, [split_sign]).messages == ["€".encode()]
    for stream in (text(b"\xe2\x82", masked=masked), text(b"\xff", masked=masked)):
        heard = run_engine(side, SMALL, [stream + text("after", masked=masked)])
        assert heard.messages == []
        assert heard.verdict == (1007, "text that is not UTF-8")


@BOTH
def test_empty_fragments_take_no_memory(side: Side) -> None:
    masked = side is Side.SERVER
    engine, heard = Engine(side, SMALL), Heard()
    engine.receive(raw_frame(0x01, b"a", masked=masked), heard)
    for _ in range(1000):
        engine.receive(raw_frame(0x00, b"", masked=masked) * 10, heard)
    engine.receive(raw_frame(0x80, b"b", masked=masked), heard)
    assert heard.messages == [b"ab"]


class Closer(Heard):
    """Close or stop the engine from within a message."""

    engine: Engine
    after: int
    stop: bool

    def on_text(self, payload: bytes, /) -> None:
        super().on_text(payload)
        if len(self.messages) == self.after:
            if self.stop:
                self.engine.stop()
            else:
                self.engine.close(4000, "enough")


@given(
    side=st.sampled_from([Side.SERVER, Side.CLIENT]),
    after=st.integers(1, 5),
    stop=st.booleans(),
    cuts=cut_positions,
)
@settings(max_examples=60, deadline=None)
def test_nothing_is_handed_over_after_the_handler_closed(
    side: Side, after: int, stop: bool, cuts: list[int]
) -> None:
    masked = side is Side.SERVER
    kinds = [
        text("t", masked=masked),
        raw_frame(0x01, b"f", masked=masked) + raw_frame(0x80, b"", masked=masked),
    ]
    stream = b"".join(kinds * 4) + raw_frame(0x88, (4000).to_bytes(2, "big"), masked=masked)
    heard = Closer()
    heard.engine, heard.after, heard.stop = Engine(side, SMALL), after, stop
    for chunk in chunked(stream, cuts):
        heard.engine.receive(chunk, heard)
        heard.write(heard.engine.data_to_send())
    assert len(heard.messages) == after
    assert not heard.engine.open
    assert heard.written == ([] if stop else [(0x88, (4000).to_bytes(2, "big") + b"enough")])
    assert heard.engine.close_received is not stop


@BOTH
def test_closing_in_the_middle_of_a_frame_keeps_the_borders(side: Side) -> None:
    masked = side is Side.SERVER
    frame = text("half", masked=masked)
    engine, heard = Engine(side, SMALL), Heard()
    assert engine.receive(frame[:3], heard) is False
    engine.close(1000, "")
    engine.receive(frame[3:] + raw_frame(0x88, b"\x03\xe8", masked=masked), heard)
    assert heard.messages == []
    assert engine.close_received
    assert engine.verdict() == (1000, "")


@BOTH
def test_a_long_close_reason_is_cut_at_a_character(side: Side) -> None:
    engine = Engine(side, SMALL)
    engine.close(4002, "€" * 100)
    [(first, payload)] = split_frames(b"".join(engine.data_to_send()))
    assert (first, payload[2:].decode()) == (0x88, "€" * 41)


@BOTH
def test_receive_tells_whether_a_frame_ended(side: Side) -> None:
    masked = side is Side.SERVER
    for frame in (text("text", masked=masked), raw_frame(0x89, b"ping", masked=masked)):
        engine = Engine(side, SMALL)
        results = [engine.receive(frame[i : i + 1], Heard()) for i in range(len(frame))]
        assert results == [False] * (len(frame) - 1) + [True]
