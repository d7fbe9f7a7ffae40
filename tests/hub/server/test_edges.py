"""Every limit of the hub at its exact edge: the last that passes, and the first that does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentbus.hub.core.config import Limits
from agentbus.hub.server.entrance import CHECK_INTERVAL, MOST_TIMES
from agentbus.hub.server.http import CLOSE_TIMEOUT, REQUEST_TIMEOUT, TAKE_TIMEOUT
from agentbus.hub.server.tokens import mint
from agentbus.runtime.virtual import VirtualLoop
from agentbus.wire.head import MAX_HEAD_BYTES
from agentbus.wire.server import BARE_WINDOW, ServerOptions
from tests.hub.server.door import (
    KEY,
    SECRET,
    UPGRADE,
    Door,
    app,
    close_code,
    frames_of,
    say,
    text_frame,
    texts_of,
)

PING_TEXT = text_frame(b'{"type":"ping"}')
PING_FRAME = b"\x89\x80" + bytes(4)
EMPTY_FRAGMENT = b"\x00\x80" + bytes(4)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n"


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


def pongs(caller: object) -> int:
    return sum(frame["type"] == "pong" for frame in texts_of(caller))  # type: ignore[arg-type]


# -- what one connection may send --------------------------------------------------------------------------


def test_200_frames_at_once_pass_and_the_201st_is_4011(loop: VirtualLoop) -> None:
    door = Door(loop)
    caller = door.upgrade()
    caller.write(PING_TEXT * 200)
    loop.run_until_idle()
    assert (pongs(caller), close_code(caller)) == (200, None)
    caller.write(PING_TEXT)
    loop.run_until_idle()
    assert (pongs(caller), close_code(caller)) == (200, 4011)


def test_after_the_burst_a_hundred_frames_a_second_pass_for_ever(loop: VirtualLoop) -> None:
    door = Door(loop)
    caller = door.upgrade()
    caller.write(PING_TEXT * 200)
    loop.run_until_idle()
    for _ in range(300):
        loop.advance(0.0101)
        caller.write(PING_TEXT)
    loop.run_until_idle()
    assert (pongs(caller), close_code(caller)) == (500, None)
    loop.advance(0.005)
    caller.write(PING_TEXT * 4)  # 300 times 0.0001 s and 0.005 s at 100/s are 3.5 frames
    loop.run_until_idle()
    assert (pongs(caller), close_code(caller)) == (503, 4011)


@pytest.mark.parametrize("frame", [PING_FRAME, EMPTY_FRAGMENT], ids=["ping", "fragment"])
def test_control_frames_and_empty_fragments_are_bounded_too(loop: VirtualLoop, frame: bytes) -> None:
    """No message rate sees them, and each costs as much as a message."""
    allowed = ServerOptions().max_bare_frames
    door = Door(loop)
    caller = door.upgrade()
    begin = b"\x01\x80" + bytes(4) if frame is EMPTY_FRAGMENT else b""
    caller.write(begin + frame * (allowed - bool(begin)))
    loop.run_until_idle()
    assert close_code(caller) is None
    caller.write(frame * 5000)
    loop.run_until_idle()
    assert close_code(caller) == 1008


def test_control_frames_at_a_human_pace_pass_for_ever(loop: VirtualLoop) -> None:
    caller = Door(loop).upgrade()
    for _ in range(100):
        caller.write(PING_FRAME * 90)
        loop.advance(BARE_WINDOW / 10)
    assert close_code(caller) is None


def test_a_frame_of_the_largest_size_passes_and_a_byte_more_is_1009(loop: VirtualLoop) -> None:
    door = Door(loop)
    most = door.shell.hub.max_frame_bytes
    assert most == 65536 + 1024
    frame = b'{"type":"ping","requestId":"r","x":"%s"}'
    caller = door.upgrade()
    for size in (most, most + 1):
        payload = frame % (b"x" * (size - len(frame) + 2))
        caller.write(b"\x81\xff" + len(payload).to_bytes(8, "big") + bytes(4) + payload)
        loop.run_until_idle()
        assert close_code(caller) == (None if size == most else 1009)
    assert pongs(caller) == 1


# -- who gets in -------------------------------------------------------------------------------------------


def test_sixty_connects_in_sixty_seconds_pass_and_one_more_is_429_until_the_first_is_a_minute_old(
    loop: VirtualLoop,
) -> None:
    door = Door(loop)
    assert [door.upgrade().status for _ in range(60)] == [101] * 60
    loop.advance(58.5)
    refused = door.upgrade()
    assert refused.status == 429
    assert b"\r\nRetry-After: 2\r\n" in refused.data
    loop.advance(1.49)
    assert door.upgrade().status == 429
    loop.advance(0.02)
    assert door.upgrade().status == 101


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_an_ipv6_address_shares_its_connect_rate_with_its_64_and_an_ipv4_address_with_nobody(
    loop: VirtualLoop, first: str, second: str, shared: bool
) -> None:
    door = Door(loop, connects_per_minute_per_address=1)
    assert door.upgrade(address=first).status == 101
    assert door.upgrade(address=second).status == (429 if shared else 101)


def test_the_connect_rate_counts_whom_a_trusted_proxy_names_and_nobody_else_can_name_himself(
    loop: VirtualLoop,
) -> None:
    door = Door(loop, connects_per_minute_per_address=1, trusted_proxies=("10.0.0.0/8",))
    for proxy in ("10.0.0.1", "10.9.9.9"):
        assert door.upgrade(headers="X-Forwarded-For: 8.8.8.8, 203.0.113.7\r\n", address=proxy).status == (
            101 if proxy == "10.0.0.1" else 429
        )
    assert door.upgrade(headers="X-Forwarded-For: 203.0.113.8\r\n", address="10.0.0.1").status == 101
    assert door.upgrade(headers="X-Forwarded-For: 1.1.1.1\r\n", address="192.0.2.1").status == 101
    assert door.upgrade(headers="X-Forwarded-For: 2.2.2.2\r\n", address="192.0.2.1").status == 429


def test_one_connection_too_many_is_4010_until_one_leaves(loop: VirtualLoop) -> None:
    door = Door(loop, app(max_connections=2))
    first, second, third = (door.upgrade() for _ in range(3))
    assert [close_code(one) for one in (first, second, third)] == [None, None, 4010]
    assert first.transport is not None
    first.transport.abort()
    loop.run_until_idle()
    assert close_code(door.upgrade()) is None


def test_a_connection_ends_with_4002_a_quarter_second_before_its_token(loop: VirtualLoop) -> None:
    door = Door(loop)
    wall = door.shell.now().wall
    token = mint("sk_id_test", SECRET, subject="alice", issued_at=wall, lifetime=10.0)
    caller = door.upgrade(f"token={token}")
    left = int(wall + 10.0) - wall  # `exp` is in whole seconds
    loop.advance(left - 0.26)
    assert (texts_of(caller)[0]["peerId"], close_code(caller)) == ("alice", None)
    loop.advance(0.02)
    assert close_code(caller) == 4002


def test_the_quota_of_messages_refuses_one_more_and_delivery_goes_on(loop: VirtualLoop) -> None:
    door = Door(loop, app(max_messages_per_period=2))
    alice, bob = door.upgrade(), door.upgrade()
    say(bob, "subscribe", channel="c")
    loop.run_until_idle()
    for number in range(3):
        say(alice, "publish", channel="c", data=number, requestId=str(number))
    loop.run_until_idle()
    say(bob, "send", to="peer-1", data=0, requestId="s")
    loop.run_until_idle()
    assert [frame["data"] for frame in texts_of(bob) if frame["type"] == "message"] == [0, 1]
    assert [frame.get("code", "ack") for frame in texts_of(alice) if "requestId" in frame] == [
        "ack",
        "ack",
        "over_message_quota",
    ]
    assert texts_of(bob)[-1]["code"] == "over_message_quota"
    assert close_code(alice) is None


# -- who reads too slowly ----------------------------------------------------------------------------------


def test_a_backlog_of_exactly_the_cap_stays_and_a_byte_more_is_1013(loop: VirtualLoop) -> None:
    cap = 1 << 17
    door = Door(loop, max_backlog_bytes=cap, messages_per_second=0)
    slow, sender = door.upgrade(), door.upgrade()
    assert slow.transport is not None
    slow.transport.pause_reading()
    [connection] = [found[1] for one in door.shell.handlers if (found := one.live())][:1]

    def send(size: int) -> None:
        say(sender, "send", to="peer-1", data="x" * size)
        loop.run_until_idle()

    send(60_000)
    around = connection.backlog_bytes - 60_000
    send(60_000)
    send(cap - connection.backlog_bytes - around)
    assert connection.backlog_bytes == cap
    assert (connection.open, door.shell.slow_consumers) == (True, 0)
    send(1)
    assert (connection.open, door.shell.slow_consumers) == (False, 1)


# -- who does not say what he wants ------------------------------------------------------------------------


def test_of_too_many_sockets_without_a_credential_the_oldest_go(loop: VirtualLoop) -> None:
    door = Door(loop, most_unauthenticated=5)
    inside = door.upgrade()
    waiting = [door.call(b"GET /v1") for _ in range(5)]
    loop.advance(1)
    assert not any(caller.gone for caller in waiting)
    late = door.call(b"GET /v1")
    loop.advance(1)
    assert [caller.gone for caller in (*waiting, late)] == [True, False, False, False, False, False]
    assert not inside.gone
    assert door.samples()['agentbus_hub_connections_refused_total{reason="unauthenticated"}'] == 1
    assert door.samples()["agentbus_hub_unauthenticated_connections"] == 5


def test_a_burst_of_honest_clients_over_the_cap_gets_in(loop: VirtualLoop) -> None:
    door = Door(loop, most_unauthenticated=5, connects_per_minute_per_address=0)
    waiting = [door.call() for _ in range(10)]
    for caller in waiting:
        caller.write(b"GET /v1?key=%s HTTP/1.1\r\n" % KEY.encode())
    loop.advance(CHECK_INTERVAL - 0.1)
    assert not any(caller.gone for caller in waiting)
    for caller in waiting:
        caller.write((UPGRADE % (b"", b"")).partition(b"\r\n")[2])
    loop.advance(2)
    assert [caller.status for caller in waiting] == [101] * 10


def test_eight_times_the_cap_is_the_end_of_patience(loop: VirtualLoop) -> None:
    door = Door(loop, most_unauthenticated=5)
    waiting = [door.call() for _ in range(5 * MOST_TIMES + 1)]
    assert [caller.gone for caller in waiting] == [True] + [False] * 5 * MOST_TIMES
    loop.advance(2 * CHECK_INTERVAL)
    assert sum(not caller.gone for caller in waiting) == 5


def test_who_was_turned_away_and_stays_counts_as_not_authenticated(loop: VirtualLoop) -> None:
    door = Door(loop, most_unauthenticated=1)
    door.upgrade("key=pk_live_wrong")
    assert len(door.shell.entrance.waiting) == 1
    loop.advance(door.shell.options.close_timeout + 0.1)
    assert not door.shell.entrance.waiting


def test_a_head_of_exactly_the_limit_passes_and_a_byte_more_is_431(loop: VirtualLoop) -> None:
    door = Door(loop, connects_per_minute_per_address=0)
    frame = door_head(0)
    for size in (MAX_HEAD_BYTES, MAX_HEAD_BYTES + 1):
        padding = size + 4 - len(frame)
        caller = door.call(door_head(padding))
        assert caller.status == (101 if size == MAX_HEAD_BYTES else 431)
    assert door.shell.traffic.refused == {"431": 1}


def door_head(padding: int) -> bytes:
    return (
        b"GET /v1?key=%s&x=%s HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: MDAwMDAwMDAwMDAwMDAwMA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ) % (KEY.encode(), b"x" * padding)


def test_an_idle_http_connection_is_kept_for_five_seconds(loop: VirtualLoop) -> None:
    caller = Door(loop).call(HEALTH)
    loop.advance(4.9)
    assert not caller.gone
    caller.write(HEALTH)
    loop.advance(4.9)
    assert caller.data.count(b"HTTP/1.1 200 OK") == 2
    assert not caller.gone
    loop.advance(0.2)
    assert caller.gone


def test_a_silent_peer_is_pinged_after_20_s_and_gone_after_40(loop: VirtualLoop) -> None:
    door = Door(loop)
    caller = door.upgrade()
    loop.advance(19.9)
    assert (9, b"") not in frames_of(caller)
    loop.advance(0.2)
    assert (9, b"") in frames_of(caller)
    loop.advance(19.8)
    assert not caller.gone
    loop.advance(0.2)
    assert caller.gone
    assert door.shell.hub.connections() == 0


def test_line_ends_between_requests_keep_no_connection_open(loop: VirtualLoop) -> None:
    caller = Door(loop).call(HEALTH)
    for _ in range(30):
        if not caller.gone:
            caller.write(b"\r\n")
        loop.advance(0.5)
    assert caller.gone
    assert loop.time() < REQUEST_TIMEOUT + 6


def test_who_takes_nothing_of_the_answers_is_dropped(loop: VirtualLoop) -> None:
    door = Door(loop)
    caller = door.call()
    assert caller.transport is not None
    caller.transport.pause_reading()
    for _ in range(100):
        if not door.state.connections:
            break
        caller.write(b"GET /metrics HTTP/1.1\r\nHost: hub\r\n\r\n" * 8 + HEALTH * 8)
        loop.advance(0.5)
    loop.advance(TAKE_TIMEOUT + CLOSE_TIMEOUT + 6)
    assert not door.state.connections
    assert not door.shell.entrance.waiting


# -- apart -------------------------------------------------------------------------------------------------


def test_one_app_can_neither_see_reach_nor_crowd_out_another(loop: VirtualLoop) -> None:
    red, blue = app("red", "pk_red", max_connections=2), app("blue", "pk_blue", max_connections=2)
    door = Door(loop, red, blue, messages_per_second=0)
    wall = door.shell.now().wall
    victim = door.upgrade(
        "token=" + mint("sk_id_blue", SECRET, subject="alice", issued_at=wall, peer_metadata={"n": 1})
    )
    say(victim, "subscribe", channel="rooms/1")
    loop.advance(1)
    quiet = len(frames_of(victim))

    thief = door.upgrade("token=" + mint("sk_id_red", SECRET, subject="alice", issued_at=wall))
    say(thief, "subscribe", channel="rooms/1", includeSenderMetadata=True, requestId="s")
    say(thief, "publish", channel="rooms/1", data="to everyone")
    say(thief, "send", to="alice", data="to alice", requestId="d")
    say(thief, "send", to="peer-1", data="to anyone", requestId="p")
    loop.advance(1)
    heard = texts_of(thief)
    assert [frame for frame in heard if frame["type"] == "presence"] == [
        {"type": "presence", "channel": "rooms/1", "joined": [], "left": []}
    ]
    assert [frame["data"] for frame in heard if frame["type"] == "direct"] == ["to alice"], "its own alice"
    assert heard[-1]["code"] == "peer_not_found" or heard[-2]["code"] == "peer_not_found"
    assert len(frames_of(victim)) == quiet, "the victim heard nothing of it"

    assert close_code(door.upgrade("key=pk_red")) is None
    assert close_code(door.upgrade("key=pk_red")) == 4010, "red is full"
    assert close_code(door.upgrade("key=pk_blue")) is None, "and blue is not"
    forged = mint("sk_id_red", "sk_secret_guessed_0123456789abcdef0123", subject="alice", issued_at=wall)
    assert close_code(door.upgrade(f"token={forged}")) == 4001
    usage = {one: door.shell.hub.usage(one, door.shell.now()) for one in ("red", "blue")}
    assert (usage["red"].messages_used, usage["blue"].messages_used) == (2, 0)


def test_the_table_of_addresses_is_bounded_and_no_longer_than_an_address_each(loop: VirtualLoop) -> None:
    door = Door(loop, trusted_proxies=("10.0.0.1",), connects_per_minute_per_address=1)
    junk = "x" * 5000
    assert door.upgrade(headers=f"X-Forwarded-For: {junk}\r\n", address="10.0.0.1").status == 101
    assert door.upgrade(headers=f"X-Forwarded-For: other{junk}\r\n", address="10.0.0.1").status == 429, (
        "what is no address counts as the proxy's own"
    )


def test_limits_are_what_the_specification_says() -> None:
    limits = Limits()
    assert (limits.messages_per_second, limits.message_burst) == (100, 200)
    assert limits.connects_per_minute_per_address == 60
    options = ServerOptions()
    assert options.ping_interval + options.ping_timeout == 40
