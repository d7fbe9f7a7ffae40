from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentbus.client.outbox import Outbox


def test_frames_leave_in_order() -> None:
    outbox = Outbox(100)
    outbox.put(b"1", b"first")
    outbox.put(b"2", b"second")
    assert outbox.unsent_bytes == 11
    assert [outbox.take({b"1", b"2"}) for _ in range(3)] == [b"first", b"second", None]
    assert outbox.unsent_bytes == 0


def test_a_frame_whose_request_ran_out_of_time_never_leaves() -> None:
    outbox = Outbox(100)
    outbox.put(b"1", b"late")
    outbox.put(b"2", b"wanted")
    assert outbox.take({b"2"}) == b"wanted"
    assert len(outbox) == 0


def test_a_frame_over_the_limit_is_taken_when_nothing_else_waits() -> None:
    outbox = Outbox(4)
    assert outbox.has_room(10)
    outbox.put(b"1", b"0123456789")
    assert not outbox.has_room(1)


def test_a_frame_that_asks_for_no_answer_is_always_wanted() -> None:
    outbox = Outbox(100)
    outbox.put(None, b"posted")
    assert outbox.unsent() == frozenset()
    assert outbox.take(()) == b"posted"


def test_it_names_what_never_left() -> None:
    outbox = Outbox(100)
    outbox.put(b"1", b"a")
    outbox.put(b"2", b"b")
    outbox.take({b"1"})
    assert outbox.unsent() == {b"2"}


@given(st.lists(st.binary(min_size=1, max_size=20)), st.integers(20, 60))
def test_it_never_holds_more_than_it_may(frames: list[bytes], limit: int) -> None:
    outbox = Outbox(limit)
    for number, frame in enumerate(frames):
        if outbox.has_room(len(frame)):
            outbox.put(b"%d" % number, frame)
        assert outbox.unsent_bytes <= limit
