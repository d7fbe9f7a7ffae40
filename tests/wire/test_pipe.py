"""The in-memory pipe behaves as a socket pair does."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from agentbus.runtime.virtual import VirtualLoop
from agentbus.wire import MemoryListener, PipeTransport, connect_in_memory
from tests.wire.fakes import RawPeer


class Counting(RawPeer):
    """Note pauses, too."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[str] = []

    def pause_writing(self) -> None:
        self.pauses.append("pause")

    def resume_writing(self) -> None:
        self.pauses.append("resume")


@contextmanager
def pair() -> Generator[tuple[VirtualLoop, Counting, Counting, PipeTransport, PipeTransport]]:
    with VirtualLoop() as loop:
        near, far = Counting(), Counting()
        ends = connect_in_memory(loop, near, far)
        loop.run_until_idle()
        yield loop, near, far, *ends


def test_bytes_arrive_in_order_in_a_later_turn_and_one_turns_writes_together() -> None:
    with pair() as (loop, _near, far, near_end, _):
        near_end.write(b"a")
        near_end.writelines([b"b", bytearray(b"c")])
        near_end.write(b"")
        assert far.received == []
        loop.run_until_idle()
        assert far.received == [b"abc"]


def test_both_directions_are_independent() -> None:
    with pair() as (loop, near, far, near_end, far_end):
        near_end.write(b"question")
        far_end.write(b"answer")
        loop.run_until_idle()
        assert (near.data, far.data) == (b"answer", b"question")


def test_addresses_and_protocols_are_told() -> None:
    with VirtualLoop() as loop:
        near, far = RawPeer(), RawPeer()
        near_end, far_end = connect_in_memory(loop, near, far, client_address="c", server_address="s")
        assert near_end.get_extra_info("peername") == far_end.get_extra_info("sockname") == ("s", 0)
        assert far_end.get_extra_info("peername") == ("c", 0)
        assert far_end.get_protocol() is far
        other = RawPeer()
        far_end.set_protocol(other)
        loop.run_until_idle()
        near_end.write(b"x")
        loop.run_until_idle()
        assert (far.data, other.data) == (b"", b"x")


def test_half_close_lets_the_other_direction_live() -> None:
    with pair() as (loop, near, far, near_end, far_end):
        far.keep_open = True
        near_end.write(b"last")
        near_end.write_eof()
        near_end.write(b"dropped")
        loop.run_until_idle()
        assert (far.data, far.ended, far.lost) == (b"last", True, [])
        far_end.write(b"still here")
        far_end.close()
        loop.run_until_idle()
        assert near.data == b"still here"
        assert (near.lost, far.lost) == ([None], [None])


def test_an_end_of_stream_closes_the_other_end_unless_it_objects() -> None:
    with pair() as (loop, near, far, near_end, far_end):
        near_end.close()
        assert near_end.is_closing()
        loop.run_until_idle()
        assert far.ended
        assert far_end.is_closing()
        assert (near.lost, far.lost) == ([None], [None])


def test_an_abort_drops_what_is_under_way_and_resets_the_other_end() -> None:
    with pair() as (loop, near, far, near_end, _):
        near_end.write(b"lost")
        near_end.abort()
        near_end.abort()
        loop.run_until_idle()
        assert far.data == b""
        assert near.lost == [None]
        assert [type(error) for error in far.lost] == [ConnectionResetError]


def test_a_reader_that_pauses_makes_the_writer_pause() -> None:
    with pair() as (loop, near, far, near_end, far_end):
        far_end.pause_reading()
        near_end.set_write_buffer_limits(high=100)
        assert near_end.get_write_buffer_limits() == (25, 100)
        near_end.write(b"x" * 100)
        assert near.pauses == []
        near_end.write(b"y")
        assert near.pauses == ["pause"]
        loop.run_until_idle()
        assert (far.data, near_end.get_write_buffer_size()) == (b"", 101)
        far_end.resume_reading()
        loop.run_until_idle()
        assert far.data == b"x" * 100 + b"y"
        assert near.pauses == ["pause", "resume"]
        assert near_end.get_write_buffer_size() == 0


def test_a_close_waits_for_a_large_backlog_to_be_taken_as_on_a_socket() -> None:
    with pair() as (loop, near, far, near_end, far_end):
        far_end.pause_reading()
        near_end.write(b"x" * 200_000)
        near_end.close()
        loop.run_until_idle()
        assert near.lost == []
        far_end.resume_reading()
        loop.run_until_idle()
        assert (len(far.data), far.ended) == (200_000, True)
        assert near.lost == [None]


def test_a_protocol_that_raises_loses_its_connection_and_the_loop_hears_of_it() -> None:
    class Broken(RawPeer):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    loop = VirtualLoop()
    near, broken = RawPeer(), Broken()
    near_end, _ = connect_in_memory(loop, near, broken)
    loop.run_until_idle()
    near_end.write(b"x")
    loop.run_until_idle()
    assert [type(error) for error in broken.lost] == [ZeroDivisionError]
    assert [type(error) for error in near.lost] == [ConnectionResetError]
    with pytest.raises(BaseExceptionGroup):
        loop.__exit__(None, None, None)


def test_a_listener_accepts_until_it_is_closed() -> None:
    with VirtualLoop() as loop:
        accepted: list[RawPeer] = []

        def accept() -> asyncio.BaseProtocol:
            accepted.append(RawPeer())
            return accepted[-1]

        listener = MemoryListener(loop, accept)
        client = RawPeer()
        near, _ = listener.connect(client, address="10.0.0.7")
        loop.run_until_idle()
        assert accepted[0].transport.get_extra_info("peername") == ("10.0.0.7", 0)
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            listener.connect(RawPeer())
        near.write(b"old connections live on")
        loop.run_until_idle()
        assert accepted[0].data == b"old connections live on"
