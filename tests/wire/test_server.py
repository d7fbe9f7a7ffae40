"""A hub's end of a connection, against a raw client on virtual time."""

from __future__ import annotations

import logging

import pytest

from agentbus.wire import PipeTransport, Reject, ServerOptions, connect_in_memory, frame_text
from agentbus.wire.connection import FRAMES_PER_WRITE
from tests.wire.fakes import SECRET, RawPeer, ServerEar, World, WrittenDown, pipe_of, upgrade_request
from tests.wire.frames import raw_frame, split_frames, text

CLOSE_1000 = raw_frame(0x88, b"\x03\xe8", masked=True)


def close_code(peer: RawPeer) -> int:
    first, payload = split_frames(peer.data)[-1]
    assert first == 0x88
    return int.from_bytes(payload[:2], "big")


# -- the upgrade ---------------------------------------------------------------------------------------------


def test_the_handler_sees_the_request_and_the_client_gets_101() -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.connect(ear)
        peer.transport.write(upgrade_request(f"/v1?token={SECRET}"))
        world.run()
        [request] = ear.requests
        assert (request.path, request.query) == ("/v1", f"token={SECRET}")
        assert request.peer_address == "in-memory"
        assert request.headers["upgrade"] == "websocket"
        assert SECRET not in repr(request)
        assert peer.data.startswith(b"HTTP/1.1 101 ")
        assert ear.told == ["open"]


@pytest.mark.parametrize("step", [1, 1000])
def test_a_request_line_of_64_kib_passes_in_pieces(step: int) -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.connect(ear)
        request = upgrade_request("/v1?token=" + "x" * (64 * 1024 if step > 1 else 1024))
        for start in range(0, len(request), step):
            peer.transport.write(request[start : start + step])
            world.run()
        assert ear.told == ["open"]


def test_frames_that_follow_the_request_at_once_are_read() -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.connect(ear)
        peer.transport.write(upgrade_request() + text("early", masked=True))
        world.run()
        assert ear.told == ["open", b"early"]


def test_a_rejected_request_opens_nothing() -> None:
    with World() as world:
        ear = ServerEar(Reject(429, {"Retry-After": "3"}, "later\n"))
        peer = world.upgrade(ear)
        world.run()
        assert (ear.told, ear.closed) == ([], [])
        assert peer.ended
        assert peer.lost == [None]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"426"),
        (b"\x16\x03\x01garbage\r\n\r\n", b"400"),
        (b"x" * 100_000, b"400"),
    ],
)
def test_what_is_no_upgrade_is_answered_and_closed(request_bytes: bytes, status: bytes) -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.connect(ear)
        peer.transport.write(request_bytes)
        world.run()
        assert peer.data.startswith(b"HTTP/1.1 " + status)
        assert peer.lost == [None]
        assert (ear.told, ear.closed) == ([], [])


def test_a_request_that_dribbles_in_is_cut_off() -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.connect(ear)
        for _ in range(30):
            peer.transport.write(b"G")
            world.run(1.0)
        assert peer.lost
        assert (ear.told, ear.closed) == ([], [])


def test_no_logger_sees_the_credential(caplog: pytest.LogCaptureFixture) -> None:
    with World() as world, caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "websockets"):
        ear = ServerEar()
        world.aio.set_debug(True)
        peer = world.connect(ear)
        peer.transport.write(upgrade_request(f"/v1?key={SECRET}"))
        world.run()
        ear.connection.close(4001, "no")
        world.run(5.0)
        assert SECRET not in caplog.text
        assert SECRET not in repr(ear.connection)


# -- messages ------------------------------------------------------------------------------------------------


def test_messages_come_in_order_and_activity_once_per_chunk() -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        binary, ping = raw_frame(0x82, b"bin", masked=True), raw_frame(0x89, b"p", masked=True)
        peer.transport.write(text("a", masked=True) + binary + text("b", masked=True) + ping)
        world.run()
        assert ear.told == ["open", b"a", 3, b"b"]
        assert ear.activity == 1
        peer.transport.write(ping[:3])
        world.run()
        assert ear.activity == 1
        assert split_frames(peer.data) == [(0x8A, b"p")]


def test_the_frames_of_one_turn_are_one_write_per_connection() -> None:
    with World() as world:
        ears = [ServerEar(), ServerEar()]
        peers = [world.upgrade(ear) for ear in ears]
        shared = frame_text(b"to all")
        for _ in range(3):
            for ear in ears:
                ear.connection.send_frames(shared)
        ears[0].connection.send_text(b"to one")
        world.run()
        assert peers[0].received == [shared * 3 + frame_text(b"to one")]
        assert peers[1].received == [shared * 3]


def test_a_burst_for_one_connection_alone_is_written_in_parts() -> None:
    with World() as world:
        transport, ear = WrittenDown(), ServerEar()
        connection = world.serve(ear)
        connection.connection_made(transport)
        connection.data_received(upgrade_request())
        transport.writes.clear()
        texts = [b"%02d" % number for number in range(2 * FRAMES_PER_WRITE + 3)]
        for each in texts:
            connection.send_text(each)
        assert [len(split_frames(part)) for part in transport.writes] == [FRAMES_PER_WRITE] * 2
        world.run()
        assert split_frames(b"".join(transport.writes)) == [(0x81, each) for each in texts]
        assert len(transport.writes) == 3
        connection.connection_lost(None)


def test_what_is_sent_when_not_open_goes_nowhere() -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        ear.connection.close(4012, "suspended")
        ear.connection.send_text(b"late")
        world.run()
        assert [first for first, _ in split_frames(peer.data)] == [0x88]
        peer.transport.write(CLOSE_1000)
        world.run()
        ear.connection.send_text(b"later")
        ear.connection.close(1000)
        ear.connection.abort()
        world.run(10.0)
        assert len(split_frames(peer.data)) == 1
        assert ear.closed == [(1000, "")]


def test_the_backlog_is_what_the_network_has_not_taken() -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        connection = ear.connection
        pipe_of(peer).pause_reading()
        frame = frame_text(b"x" * 50_000)
        connection.send_frames(frame)
        assert (connection.backlog_bytes, connection.congested) == (len(frame), False)
        world.run()
        assert (connection.backlog_bytes, connection.congested) == (len(frame), False)
        connection.send_frames(frame)
        world.run()
        assert (connection.backlog_bytes, connection.congested) == (2 * len(frame), True)
        pipe_of(peer).resume_reading()
        world.run()
        assert (connection.backlog_bytes, connection.congested) == (0, False)


def test_a_peer_that_pings_and_never_reads_does_not_fill_the_buffer() -> None:
    with World(ServerOptions(max_bare_frames=20_000)) as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        pipe_of(peer).pause_reading()
        for _ in range(100):
            peer.transport.write(raw_frame(0x89, b"p" * 125, masked=True) * 100)
            world.run()
        assert ear.connection.backlog_bytes < 3 * 64 * 1024
        pipe_of(peer).resume_reading()
        world.run()
        ear.connection.send_text(b"still alive")
        world.run()
        assert split_frames(peer.data)[-1] == (0x81, b"still alive")


def test_a_message_over_the_cap_closes_with_1009_which_the_client_can_read() -> None:
    with World(ServerOptions(max_inbound_bytes=1000)) as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        peer.keep_open = True
        peer.transport.write(text("fits" * 250, masked=True))
        peer.transport.write(text("x" * 1001, masked=True))
        for _ in range(5):
            peer.transport.write(b"more of it" * 1000)
            world.run()
        assert close_code(peer) == 1009
        assert peer.ended
        assert peer.lost == []  # only half closed: a reset could have destroyed the close frame
        assert ear.messages == [b"fits" * 250]
        peer.transport.close()
        world.run()
        assert [code for code, _ in ear.closed] == [1009]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (text("unmasked", masked=False), 1002),
        (raw_frame(0xC1, b"reserved bit", masked=True), 1002),
        (text(b"\xff\xfe", masked=True), 1007),
    ],
)
def test_a_violation_closes_with_its_code(frame: bytes, code: int) -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        peer.transport.write(frame)
        world.run()
        assert close_code(peer) == code
        assert [closed for closed, _ in ear.closed] == [code]
        assert ear.messages == []


# -- the end -------------------------------------------------------------------------------------------------


def test_a_closing_client_gets_its_answer_and_the_end_of_the_stream() -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        ear.connection.send_text(b"before")
        peer.transport.write(raw_frame(0x88, b"\x03\xe9bye", masked=True))
        world.run()
        assert split_frames(peer.data) == [(0x81, b"before"), (0x88, b"\x03\xe9bye")]
        assert peer.lost == [None]
        assert ear.closed == [(1001, "bye")]


def test_a_close_without_code_is_1005() -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        peer.transport.write(raw_frame(0x88, b"", masked=True))
        world.run()
        assert ear.closed == [(1005, "")]


def test_closing_sends_what_came_before_then_waits_for_the_answer() -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        ear.connection.send_text(b"last words")
        ear.connection.close(4020, "operator")
        ear.connection.close(1000, "again")
        world.run(1.0)
        assert split_frames(peer.data) == [(0x81, b"last words"), (0x88, b"\x0f\xb4operator")]
        assert (peer.lost, ear.closed) == ([], [])
        peer.transport.write(text("ignored", masked=True) + raw_frame(0x88, b"\x0f\xb4", masked=True))
        world.run()
        assert peer.lost == [None]
        assert ear.closed == [(4020, "")]
        assert ear.messages == []


def test_a_client_that_does_not_answer_the_close_is_aborted() -> None:
    with World(ServerOptions(close_timeout=3.0)) as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        ear.connection.close(4001, "go")
        world.run(2.9)
        assert ear.closed == []
        world.run(0.2)
        assert ear.closed == [(4001, "go")]
        assert isinstance(peer.lost[0], ConnectionResetError)


def test_a_slow_consumer_that_is_closed_goes_although_its_buffer_is_full() -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        pipe_of(peer).pause_reading()
        ear.connection.send_text(b"x" * 1_000_000)
        world.run()
        ear.connection.close(1013, "slow")
        world.run(4.0)
        assert ear.closed == [(1013, "slow")]


@pytest.mark.parametrize("silently", [False, True])
def test_the_death_of_the_connection_is_1006(silently: bool) -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        peer.transport.write(text("half", masked=True)[:5])
        if silently:
            peer.transport.close()
        else:
            peer.transport.abort()
        world.run()
        assert ear.closed == [(1006, "")]
        assert ear.messages == []


def test_a_handler_may_abort_or_close_from_within_a_message() -> None:
    for end in ("abort", "close"):
        with World() as world:
            ear = ServerEar()
            peer = world.upgrade(ear)
            ear.on_message = lambda _payload, ear=ear, end=end: (
                ear.connection.abort() if end == "abort" else ear.connection.close(1008, "enough")
            )
            peer.transport.write(text("one", masked=True) * 5)
            world.run(5.0)
            assert ear.messages == [b"one"]
            assert [code for code, _ in ear.closed] == [1006 if end == "abort" else 1008]


def test_a_code_that_must_not_travel_is_a_mistake_of_the_caller() -> None:
    with World() as world:
        ear = ServerEar()
        world.upgrade(ear)
        with pytest.raises(ValueError, match="1006"):
            ear.connection.close(1006)
        assert ear.closed == []


# -- silence (protocol section 8: a half-open peer leaves within 40 s) ---------------------------------------


def test_silence_is_pinged_after_20_s_and_aborted_20_s_later() -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        world.run(19.9)
        assert peer.data == b""
        world.run(0.1)
        assert split_frames(peer.data) == [(0x89, b"")]
        world.run(19.9)
        assert ear.closed == []
        world.run(0.1)
        assert ear.closed == [(1006, "")]


def test_a_peer_that_answers_pings_stays() -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        peer.on_data = lambda peer, _data: peer.transport.write(raw_frame(0x8A, b"", masked=True))
        world.run(200.0)
        assert len(split_frames(peer.data)) == 10
        assert ear.closed == []
        assert ear.activity == 10


def test_any_inbound_byte_puts_the_ping_off() -> None:
    with World() as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        for byte in text("slow", masked=True):
            world.run(15.0)
            peer.transport.write(bytes([byte]))
        world.run(19.0)
        assert peer.data == b""
        assert ear.messages == [b"slow"]


def test_times_are_options() -> None:
    with World(ServerOptions(ping_interval=2.0, ping_timeout=1.0)) as world:
        ear = ServerEar()
        world.upgrade(ear)
        world.run(2.9)
        assert ear.closed == []
        world.run(0.1)
        assert ear.closed == [(1006, "")]
    with World(ServerOptions(ping_interval=0.0)) as world:
        ear = ServerEar()
        peer = world.upgrade(ear)
        world.run(1000.0)
        assert (peer.data, ear.closed) == (b"", [])


# -- as an HTTP server hands it over -------------------------------------------------------------------------


def test_it_can_be_handed_a_transport_whose_request_was_read_already() -> None:
    with World() as world:
        ear, peer = ServerEar(), RawPeer()
        front = RawPeer()
        connection = world.serve(ear)

        def hand_over(front: RawPeer, request: bytes) -> None:
            # as uvicorn does: the new protocol hears of both before the transport is its own
            connection.connection_made(front.transport)
            connection.data_received(request)
            front.transport.set_protocol(connection)

        front.on_data = hand_over
        near, _far = connect_in_memory(world.aio, peer, front)
        assert isinstance(near, PipeTransport)
        world.run()
        peer.transport.write(upgrade_request())
        world.run()
        peer.transport.write(text("hello", masked=True))
        world.run()
        assert ear.told == ["open", b"hello"]
