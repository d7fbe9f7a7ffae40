"""The hub's HTTP side against clients that mean harm, or know no better: in memory, on virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from agentbus.hub.core import AppConfig, HubConfig, PublishableKey
from agentbus.hub.server.app import Readiness, make_app
from agentbus.hub.server.http import MOST_WAITING, REQUEST_TIMEOUT, HttpConnection
from agentbus.hub.server.session import SessionHandler
from agentbus.hub.server.shell import HubShell
from agentbus.runtime.loop import HostedLoop
from agentbus.runtime.virtual import VirtualLoop
from agentbus.wire import PipeTransport, ServerConnection, connect_in_memory

UPGRADE = (
    b"GET /v1?key=pk_live_test HTTP/%s\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDAwMDAwMDAwMDAwMDAwMA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n"
POST = b"POST /v1 HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000\r\n\r\n"


class Caller(asyncio.Protocol):
    """Keeps what comes in, and how it ended."""

    def __init__(self) -> None:
        self.data = b""
        self.gone = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True


class Door:
    """A hub's HTTP side, and callers."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        key = PublishableKey(key="pk_live_test", channel_patterns=("**",))
        ids = (f"peer-{number}" for number in itertools.count(1))
        self.shell = HubShell(
            HubConfig(apps=(AppConfig(id="test", publishable_keys=(key,)),)),
            loop=HostedLoop(loop),
            new_id=ids.__next__,
        )
        self.state = ServerState()
        self.config = uvicorn.Config(
            make_app(Readiness(ready=True)), ws=self._upgraded(), lifespan="off", log_config=None
        )
        self.config.load()

    def _upgraded(self) -> type[asyncio.Protocol]:
        shell = self.shell

        class Upgraded(ServerConnection):
            def __init__(self, **_from_uvicorn: Any) -> None:
                super().__init__(SessionHandler(shell), shell.flusher, shell.options)

        return cast("type[asyncio.Protocol]", Upgraded)

    def call(self) -> tuple[Caller, PipeTransport]:
        caller = Caller()
        transport, _ = connect_in_memory(
            self.loop, caller, HttpConnection(self.config, self.state, {}, self.loop)
        )
        self.loop.run_until_idle()
        return caller, transport

    def say(self, *chunks: bytes) -> Caller:
        caller, transport = self.call()
        for chunk in chunks:
            transport.write(chunk)
            self.loop.run_until_idle()
        return caller


@pytest.fixture
def door() -> Iterator[Door]:
    with VirtualLoop() as loop:
        yield Door(loop)


@pytest.mark.parametrize(
    "so_far", [b"", b"\r\n", b"GET /v1?key=pk_live", b"GET /v1 HTTP/1.1\r\nHost: hub\r\nX: y"]
)
def test_a_request_that_does_not_come_whole_is_answered_with_408(door: Door, so_far: bytes) -> None:
    caller = door.say(so_far)
    door.loop.advance(REQUEST_TIMEOUT - 1)
    assert not caller.gone
    door.loop.advance(1.5)
    assert caller.data.startswith(b"HTTP/1.1 408 ")
    assert caller.gone
    assert not door.state.connections


@pytest.mark.parametrize("first", [b"", HEALTH], ids=["first", "second"])
def test_a_request_that_dribbles_in_gets_no_more_time(door: Door, first: bytes) -> None:
    caller, transport = door.call()
    transport.write(first)
    door.loop.run_until_idle()
    transport.write(b"GET /")
    for _ in range(int(REQUEST_TIMEOUT)):
        transport.write(b"x")
        door.loop.advance(1.05)
    assert b"HTTP/1.1 408 " in caller.data
    assert caller.gone


def test_a_body_that_dribbles_in_gets_no_more_time(door: Door) -> None:
    caller, transport = door.call()
    transport.write(POST)
    for _ in range(int(REQUEST_TIMEOUT)):
        transport.write(b"x")
        door.loop.advance(1.05)
    assert caller.gone
    assert not door.state.connections


@pytest.mark.parametrize("begin", [b"GET /", b"GET / HTTP/1.1\r\nHost: hub\r\nX: "], ids=["line", "header"])
def test_a_head_without_end_is_refused(door: Door, begin: bytes) -> None:
    caller = door.say(begin, b"x" * 65536)
    assert not caller.gone
    caller = door.say(begin, b"x" * 65536, b"x" * 65536)
    assert caller.data.startswith(b"HTTP/1.1 431 ")
    assert caller.gone


def test_what_is_no_http_is_answered_with_400(door: Door) -> None:
    caller = door.say(b"\x16\x03\x01 hello")
    assert caller.data.startswith(b"HTTP/1.1 400 ")
    assert caller.gone


def test_requests_may_follow_one_another(door: Door) -> None:
    caller = door.say(HEALTH, HEALTH, HEALTH + HEALTH)
    assert caller.data.count(b"HTTP/1.1 200 OK") == 4
    assert not caller.gone


def test_many_requests_in_one_chunk_are_answered_up_to_a_limit(door: Door) -> None:
    caller = door.say(HEALTH * (1 + MOST_WAITING))
    assert caller.data.count(b"HTTP/1.1 200 OK") == 1 + MOST_WAITING
    assert not caller.gone
    caller = door.say(HEALTH * (2 + MOST_WAITING))
    assert caller.data.startswith(b"HTTP/1.1 400 ")
    assert caller.gone


def test_a_head_is_measured_without_the_requests_before_it(door: Door) -> None:
    padded = HEALTH.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 50_000 + b"\r\n\r\n")
    caller = door.say(padded * 2 + HEALTH[:-2], HEALTH[-2:])
    assert caller.data.count(b"HTTP/1.1 200 OK") == 3


def test_another_kind_of_upgrade_is_an_ordinary_request(door: Door) -> None:
    caller = door.say(b"GET /healthz HTTP/1.1\r\nHost: hub\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
    assert caller.data.startswith(b"HTTP/1.1 200 OK")


def test_what_follows_the_upgrade_request_at_once_is_not_lost(door: Door) -> None:
    frame = b'{"type":"ping","requestId":"early"}'
    caller = door.say(UPGRADE % b"1.1" + bytes((0x81, 0x80 | len(frame))) + bytes(4) + frame)
    assert b'{"type":"pong","requestId":"early"}' in caller.data


def test_an_upgrade_is_not_taken_while_an_earlier_request_is_unanswered(door: Door) -> None:
    """The earlier answer would end up between the frames, and its keep-alive would end the connection."""
    caller = door.say(HEALTH + UPGRADE % b"1.1")
    assert b"HTTP/1.1 101 " not in caller.data
    assert caller.gone


def test_an_upgrade_may_follow_an_answered_request_and_stays(door: Door) -> None:
    caller = door.say(HEALTH, UPGRADE % b"1.1")
    door.loop.advance(REQUEST_TIMEOUT + 5)
    assert b"HTTP/1.1 101 " in caller.data
    assert not caller.gone
    assert door.shell.hub.connections() == 1
    assert not door.state.connections


def test_an_upgrade_needs_http_1_1(door: Door) -> None:
    caller = door.say(UPGRADE % b"1.0")
    assert caller.data.startswith(b"HTTP/1.1 505 ")
    assert caller.gone


def test_a_hub_that_fails_during_an_upgrade_keeps_nothing_of_the_connection(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(door.shell.hub, "connect", broken)
    caller = door.say(UPGRADE % b"1.1")
    assert caller.gone
    assert not door.shell.handlers
    assert [type(error) for error in door.loop.exceptions] == [ZeroDivisionError]
    door.loop.exceptions.clear()
