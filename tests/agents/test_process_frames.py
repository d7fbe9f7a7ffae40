"""What parent and child tell each other: everything comes back as it was, and no secret shows."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbus.agents.processes.channel import Channel
from agentbus.agents.processes.frames import (
    HEAD,
    MAX_FRAME_BYTES,
    Answered,
    Begin,
    Cancel,
    Ended,
    Failed,
    Handle,
    Invite,
    Invited,
    Marked,
    Progress,
    Ready,
    Stop,
    ToChild,
    ToParent,
    body_length,
    decode_for_child,
    decode_for_parent,
    encode_frame,
)

TEXT = st.text(max_size=20)
NUMBERS = st.integers(0, 2**53)
RAW = TEXT.map(msgspec.json.encode).map(msgspec.Raw)
TO_CHILD = st.one_of(
    st.builds(Begin, *[TEXT], st.binary(), *[TEXT] * 5),
    st.builds(Handle, NUMBERS, st.booleans(), st.none() | st.floats(0, 1e6), RAW),
    st.builds(Cancel, NUMBERS),
    st.just(Stop()),
    st.builds(Invited, *[TEXT] * 4),
)
TO_PARENT = st.one_of(
    st.just(Ready()),
    st.just(Invite()),
    st.just(Ended()),
    st.builds(Answered, NUMBERS, TEXT, RAW, st.booleans()),
    st.builds(Failed, TEXT, TEXT, TEXT),
    st.builds(Marked, NUMBERS),
    st.builds(Progress, TEXT, st.none() | st.floats(0, 1)),
)


@settings(max_examples=60, deadline=None)
@given(TO_CHILD, TO_PARENT)
def test_a_frame_comes_back_as_it_was(down: ToChild, up: ToParent) -> None:
    for frame, decode in ((down, decode_for_child), (up, decode_for_parent)):
        data = encode_frame(frame)
        assert body_length(data[: HEAD.size]) == len(data) - HEAD.size
        assert decode(data[HEAD.size :]) == frame


def test_a_length_that_no_frame_has_is_refused() -> None:
    with pytest.raises(ValueError, match="over"):
        body_length(HEAD.pack(MAX_FRAME_BYTES + 1))


def test_the_secret_of_an_invitation_does_not_show() -> None:
    assert "hunter2" not in repr(Invited("ws://localhost", "key", "hunter2"))


@pytest.mark.parametrize("rubbish", [b"", b"\x00\x00", HEAD.pack(2) + b"{]", b"\xff" * 64])
def test_an_end_that_makes_no_sense_is_an_end_that_is_gone(rubbish: bytes) -> None:
    async def scenario() -> list[ToChild]:
        here, there = socket.socketpair()
        here.settimeout(0.0)
        channel = await Channel[ToChild].over(here, decode_for_child)
        there.sendall(encode_frame(Stop()) + rubbish)
        there.close()
        heard = [frame async for frame in channel.frames()]
        channel.close()
        await channel.closed()
        return heard

    assert asyncio.run(scenario()) == [Stop()]
