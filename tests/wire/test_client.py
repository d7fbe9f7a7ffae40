"""A client's connection, against scripted servers on virtual time."""

from __future__ import annotations

import functools
import logging
import pickle
from collections.abc import Callable
from random import Random

import pytest

from agentbus.wire import ClientOptions, Target, Transport, frame_text, secure_mask_keys
from tests.wire.fakes import (
    SECRET,
    ClientEar,
    RawPeer,
    RawServer,
    ServerEar,
    World,
    pipe_of,
    target,
)
from tests.wire.frames import raw_frame, split_frames, text


class Scripted(RawPeer):
    """A server that answers whatever comes first with given bytes, and perhaps hangs up."""

    def __init__(self, answer: bytes, *, hang_up: bool = False) -> None:
        super().__init__()
        self._answer = answer
        self._hang_up = hang_up

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._answer:
            self.transport.write(self._answer)
        self._answer = b""
        if self._hang_up:
            self.transport.close()


def failed_dial(server: Callable[[], RawPeer], seconds: float = 2.0) -> ClientEar:
    with World() as world:
        ear = ClientEar()
        world.dial(ear, server)
        world.run(seconds)
        return ear


# -- the upgrade ---------------------------------------------------------------------------------------------


def test_the_request_is_a_plain_upgrade_with_the_whole_target() -> None:
    with World() as world:
        ear = ClientEar()
        _, server = world.open(ear)
        assert isinstance(server, RawServer)
        assert server.request is not None
        assert server.request.path == f"/v1?key={SECRET}"
        headers = server.request.headers
        assert headers["Host"] == "localhost"
        assert "Sec-WebSocket-Extensions" not in headers
        assert "Sec-WebSocket-Protocol" not in headers
        assert ear.told == ["open"]


def test_frames_behind_the_response_are_read_after_on_open() -> None:
    with World() as world:
        ear = ClientEar()
        world.open(ear, RawServer(after_upgrade=text("welcome", masked=False)))
        assert ear.told == ["open", b"welcome"]
        assert ear.activity == 1


@pytest.mark.parametrize(
    ("answer", "closed"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", (1006, "Forbidden", 403, None)),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 999\r\n\r\n", (1006, "Slow", 429, 7.0)),
        (
            b"HTTP/1.1 503 Later\r\nRetry-After: Wed, 01 Jan 2025 00:01:00 GMT\r\n\r\n",
            (1006, "Later", 503, 60.0),
        ),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://localhost/elsewhere\r\n\r\n", (1006, "Found", 302, None)),
    ],
)
def test_a_refusal_is_1006_with_its_status(answer: bytes, closed: object) -> None:
    ear = failed_dial(lambda: Scripted(answer))
    assert ear.closed == [closed]
    assert ear.told == ["closed"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\x00\xff" * 60_000,
        b"HTTP/1.1 200\r\n\r\n",
    ],
)
def test_garbage_in_place_of_the_answer_is_1006(answer: bytes) -> None:
    ear = failed_dial(lambda: Scripted(answer))
    assert [code for code, *_ in ear.closed] == [1006]
    assert ear.told == ["closed"]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 101 Switch"])
def test_a_server_that_hangs_up_before_the_answer_is_1006(answer: bytes) -> None:
    ear = failed_dial(lambda: Scripted(answer, hang_up=True))
    assert ear.closed == [(1006, "", None, None)]


def test_a_server_that_never_answers_is_waited_for_until_the_client_aborts() -> None:
    with World() as world:
        ear, server = ClientEar(), RawPeer()
        transport = world.dial(ear, lambda: server)
        world.run(1000.0)
        assert ear.told == []
        transport.abort(4000)
        assert ear.told == []
        world.run()
        assert ear.closed == [(4000, "", None, None)]
        assert server.lost


# -- messages ------------------------------------------------------------------------------------------------


def test_messages_come_in_order_and_activity_once_per_chunk() -> None:
    with World() as world:
        ear = ClientEar()
        _, server = world.open(ear)
        ping = raw_frame(0x89, b"p", masked=False)
        server.transport.write(frame_text(b"a") + raw_frame(0x82, b"bin", masked=False) + frame_text(b"b"))
        world.run()
        server.transport.write(ping)
        world.run()
        server.transport.write(ping[:1])
        world.run()
        assert ear.told == ["open", b"a", 3, b"b"]
        assert ear.activity == 2
        assert split_frames(server.data) == [(0x8A, b"p")]


def test_the_messages_of_one_turn_are_one_write_masked_with_injected_keys() -> None:
    keys = iter([b"abcd", b"efgh", b"ijkl"])
    with World() as world:
        ear = ClientEar()
        transport, server = world.open(
            ear, options=ClientOptions(mask_keys=lambda: functools.partial(next, keys))
        )
        for payload in (b"one", b"two", b"x" * 200):
            transport.send_text(payload)
        world.run()
        [written] = server.received
        assert split_frames(written) == [(0x81, b"one"), (0x81, b"two"), (0x81, b"x" * 200)]
        assert written[2:6] == b"abcd"
        assert next(keys, None) is None


def test_masking_keys_from_the_system_do_not_repeat() -> None:
    keys = secure_mask_keys(batch=4)
    drawn = [keys() for _ in range(64)]
    assert {len(key) for key in drawn} == {4}
    assert len(set(drawn)) > 60


def test_nothing_is_sent_before_it_is_open_and_after_it_is_closed() -> None:
    with World() as world:
        ear, server = ClientEar(), RawServer()
        transport = world.dial(ear, lambda: server)
        transport.send_text(b"too early")
        world.run()
        transport.close(1000, "")
        transport.send_text(b"too late")
        world.run()
        assert [first for first, _ in split_frames(server.data)] == [0x88]


def test_back_pressure_is_passed_on() -> None:
    with World() as world:
        ear = ClientEar()
        transport, server = world.open(ear)
        pipe_of(server).pause_reading()
        transport.send_text(b"x" * 100_000)
        assert transport.write_buffer_bytes > 100_000
        world.run()
        assert ear.told == ["open", "pause"]
        pipe_of(server).resume_reading()
        world.run()
        assert ear.told == ["open", "pause", "resume"]
        assert transport.write_buffer_bytes == 0


def test_a_message_of_one_mib_passes_and_one_byte_more_closes_with_1009() -> None:
    with World() as world:
        ear = ClientEar()
        _, server = world.open(ear)
        server.transport.write(frame_text(b"x" * (1 << 20)))
        world.run()
        assert len(ear.messages[0]) == 1 << 20
        server.transport.write(frame_text(b"x" * ((1 << 20) + 1)))
        world.run(1.0)
        assert split_frames(server.data)[-1][1][:2] == (1009).to_bytes(2, "big")
        assert [code for code, *_ in ear.closed] == [1009]


def test_fragments_count_together_against_the_limit() -> None:
    with World() as world:
        ear = ClientEar()
        _, server = world.open(ear, options=ClientOptions(max_inbound_bytes=100))
        server.transport.write(
            raw_frame(0x01, b"x" * 60, masked=False) + raw_frame(0x80, b"x" * 60, masked=False)
        )
        world.run(1.0)
        assert [code for code, *_ in ear.closed] == [1009]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\xff\xff garbage", 1002),
        (text("masked by a server", masked=True), 1002),
        (raw_frame(0x83, b"", masked=False), 1002),
        (raw_frame(0x81, b"\xc3\x28", masked=False), 1007),
    ],
)
def test_a_server_that_breaks_the_rules_is_closed_with_its_code(frame: bytes, code: int) -> None:
    with World() as world:
        ear = ClientEar()
        _, server = world.open(ear)
        server.transport.write(frame_text(b"fine") + frame + frame_text(b"too late"))
        world.run(1.0)
        assert ear.messages == [b"fine"]
        assert split_frames(server.data)[-1][1][:2] == code.to_bytes(2, "big")
        assert [closed for closed, *_ in ear.closed] == [code]


# -- the end -------------------------------------------------------------------------------------------------


def test_a_close_frame_of_the_server_is_answered_and_reported() -> None:
    with World() as world:
        ear = ClientEar()
        _, server = world.open(ear)
        server.transport.write(frame_text(b"last") + raw_frame(0x88, b"\x0f\xaawhy", masked=False))
        world.run()
        assert split_frames(server.data) == [(0x88, b"\x0f\xaawhy")]
        server.transport.close()
        world.run()
        assert ear.told == ["open", b"last", "closed"]
        assert ear.closed == [(4010, "why", None, None)]


def test_a_server_that_closes_and_keeps_the_connection_is_left_after_a_second() -> None:
    with World() as world:
        ear = ClientEar()
        _, server = world.open(ear)
        server.transport.write(raw_frame(0x88, b"", masked=False))
        world.run(0.9)
        assert ear.closed == []
        world.run(0.1)
        assert ear.closed == [(1005, "", None, None)]
        assert server.lost


def test_closing_waits_for_the_answer() -> None:
    with World() as world:
        ear, server_ear = ClientEar(), ServerEar()
        transport = world.dial(ear, lambda: world.serve(server_ear))
        world.run()
        transport.send_text(b"before")
        transport.close(1000, "client requested close")
        transport.close(1000, "again")
        world.run()
        assert server_ear.messages == [b"before"]
        assert server_ear.closed == [(1000, "client requested close")]
        assert ear.closed == [(1000, "client requested close", None, None)]


def test_closing_takes_a_second_at_most_and_reports_the_code_that_was_sent() -> None:
    with World() as world:
        ear = ClientEar()
        transport, server = world.open(ear)
        transport.close(4000, "silence")
        server.transport.write(frame_text(b"ignored"))
        world.run(0.9)
        assert ear.closed == []
        world.run(0.1)
        assert ear.closed == [(4000, "silence", None, None)]
        assert ear.messages == []


@pytest.mark.parametrize("with_reset", [False, True])
def test_the_death_of_the_connection_is_1006(with_reset: bool) -> None:
    with World() as world:
        ear = ClientEar()
        _, server = world.open(ear)
        server.transport.write(frame_text(b"half a frame")[:7])
        world.run()
        if with_reset:
            server.transport.abort()
        else:
            server.transport.close()
        world.run()
        assert ear.told == ["open", "closed"]
        assert ear.closed == [(1006, "", None, None)]


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("how", ["abort", "close"])
def test_a_connection_can_be_ended_in_any_state(turns: int, how: str) -> None:
    with World() as world:
        ear = ClientEar()
        transport = world.dial(ear, RawServer)
        for _ in range(turns):
            world.aio.call_soon(world.aio.stop)
            world.aio.run_forever()
        end(transport, how)
        end(transport, how)
        assert ear.closed == []
        world.run(1.0)
        assert [code for code, *_ in ear.closed] == [4000]
        end(transport, how)
        transport.send_text(b"nobody")
        world.run(5.0)


def end(transport: Transport, how: str) -> None:
    if how == "abort":
        transport.abort(4000)
    else:
        transport.close(4000, "")


@pytest.mark.parametrize("how", ["abort", "close"])
def test_a_handler_may_end_it_from_within_a_message_or_on_open(how: str) -> None:
    with World() as world:
        ear = ClientEar()
        transport, server = world.open(ear)
        ear.on_message = lambda _payload: end(transport, how)
        server.transport.write(frame_text(b"one") + frame_text(b"two"))
        world.run(1.0)
        assert ear.told == ["open", b"one", "closed"]
    with World() as world:
        ear = ClientEar()
        transport = world.dial(ear, lambda: RawServer(after_upgrade=frame_text(b"unheard")))
        ear.when_open = lambda: end(transport, how)
        world.run(1.0)
        assert ear.told == ["open", "closed"]


def test_a_code_that_must_not_travel_is_a_mistake_of_the_caller() -> None:
    with World() as world:
        ear = ClientEar()
        transport, _ = world.open(ear)
        with pytest.raises(ValueError, match="1005"):
            transport.close(1005, "")
        assert ear.closed == []


def test_a_dial_that_breaks_in_an_unforeseen_way_still_ends() -> None:
    def explode() -> RawPeer:
        raise ZeroDivisionError

    world = World()
    ear = ClientEar()
    world.dial(ear, explode)
    world.run()
    assert ear.closed == [(1006, "the dial broke: ZeroDivisionError", None, None)]
    with pytest.raises(BaseExceptionGroup) as group:  # a bug is reported, not hidden
        world.__exit__(None, None, None)
    assert group.group_contains(ZeroDivisionError)


# -- secrets -------------------------------------------------------------------------------------------------


def test_a_target_shows_and_yields_no_credential() -> None:
    assert SECRET not in repr(target()) + str(target()) + f"{target()}"
    with pytest.raises(TypeError) as caught:
        pickle.dumps(target())
    assert SECRET not in str(caught.value)
    assert isinstance(target(), Target)


@pytest.mark.parametrize("bad", ["", "v1", "/v1 HTTP/1.1\r\nX: y", "/v1?key=k\n", "/v1?key=sch\u00f6n"])
def test_a_target_that_would_break_the_request_is_refused_and_not_quoted(bad: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        Target(target().origin, bad)
    assert not bad or bad not in str(caught.value)


def test_no_log_and_no_report_shows_the_credential(caplog: pytest.LogCaptureFixture) -> None:
    answers = [b"HTTP/1.1 401 No\r\n\r\n", b"garbage\r\n\r\n", raw_frame(0x88, b"\x0f\xa1", masked=False)]
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "websockets"):
        for answer in answers:
            with World() as world:
                world.aio.set_debug(True)
                ear = ClientEar()
                transport = world.dial(ear, functools.partial(Scripted, answer))
                world.run()
                transport.abort()
                world.run()
                assert SECRET not in repr((transport, ear.told, ear.closed))
    assert SECRET not in caplog.text


def test_the_same_seed_gives_the_same_masks() -> None:
    def written() -> bytes:
        random = Random(7)
        with World() as world:
            options = ClientOptions(mask_keys=lambda: functools.partial(random.randbytes, 4))
            transport, server = world.open(ClientEar(), options=options)
            transport.send_text(b"same")
            world.run()
            return server.data

    assert written() == written()
