"""One frame's bytes, against websockets' own reading of them."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from agentbus.wire.framing import check_close_code, clip_reason, frame_length, frame_text, mask_text

SIZES = st.one_of(st.integers(0, 300), st.sampled_from([65534, 65535, 65536, 70000]))


def read_by_websockets(data: bytes, *, mask: bool) -> tuple[Frame, bytes]:
    rest = data

    def read_exact(size: int) -> Generator[None, None, bytes]:
        nonlocal rest
        yield from ()
        piece, rest = rest[:size], rest[size:]
        return piece

    parser = Frame.parse(read_exact, mask=mask)
    with pytest.raises(StopIteration) as end:
        next(parser)
    return end.value.value, rest


@given(size=SIZES, key=st.binary(min_size=4, max_size=4))
@settings(max_examples=60, deadline=None)
def test_frames_are_what_websockets_reads(size: int, key: bytes) -> None:
    payload = b"ab"[: size % 3] + b"x" * (size - min(size, size % 3))
    for data, masked in ((frame_text(payload), False), (b"".join(mask_text(payload, key)), True)):
        frame, rest = read_by_websockets(data, mask=masked)
        assert (frame.opcode, bytes(frame.data), frame.fin, rest) == (Opcode.TEXT, payload, True, b"")
        assert frame_length(b"junk" + data, 4) == len(data)


@given(size=SIZES, cut=st.integers(0, 13))
@settings(max_examples=60, deadline=None)
def test_an_incomplete_header_has_no_length_and_a_complete_one_does(size: int, cut: int) -> None:
    frame = frame_text(b"x" * size)
    header = len(frame) - size
    assert frame_length(frame[:cut]) == (None if cut < header else len(frame))


@given(st.text(max_size=200))
def test_a_clipped_reason_fits_and_begins_the_same(reason: str) -> None:
    clipped = clip_reason(reason)
    assert len(clipped.encode()) <= 123
    assert reason.startswith(clipped)
    assert clipped == reason or len(clipped.encode()) > 119


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_codes_that_must_not_travel_are_refused(code: int) -> None:
    with pytest.raises(ValueError, match=str(code)):
        check_close_code(code)


@pytest.mark.parametrize("code", [1000, 1001, 1013, 3000, 4000, 4999])
def test_codes_that_may_travel_pass(code: int) -> None:
    check_close_code(code)
