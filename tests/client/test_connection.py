"""One connection: frames that can't be used, transports that break, and what it leaves behind."""

from __future__ import annotations

import inspect
import json
import logging
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbus.client import (
    ChannelMessage,
    DisconnectedEvent,
    ReconnectOptions,
    ServerErrorEvent,
    SignallingClientState,
)
from agentbus.client.connection import ConnectionActor
from agentbus.client.subscription import SubscriptionActor
from agentbus.client.supervisor import SupervisorActor
from agentbus.errors import DisconnectedError, NotConnectedError, SignallingConnectError
from agentbus.runtime import Future, Loop
from agentbus.runtime.actor import LoopActor
from agentbus.wire import Reject, Target, Transport, TransportHandler
from tests.client.world import WELCOME, Session, World, on_virtual_time, outcome

STEADY = ReconnectOptions(initial_delay=1.0, multiplier=1.0, jitter_ratio=0.0)

UNUSABLE = [
    b"",
    b"nonsense",
    b"[1,2]",
    b'{"no":"type"}',
    b'{"type":7}',
    b'{"type":"from the future"}',
    b'{"type":"message","channel":"room","from":"p"}',
    b'{"type":"message","channel":"room","data":1}',
    b'{"type":"presence","channel":"room","joined":[]}',
    b'{"type":"ack"}',
    b'{"type":"error"}',
]


@on_virtual_time
@pytest.mark.parametrize("payload", UNUSABLE)
async def test_unusable_frames_are_dropped(world: World, payload: bytes) -> None:
    client = await world.connected()
    seen = world.collect(client, ChannelMessage)
    world.hub.last.connection.send_text(payload)
    world.hub.last.message("room", "usable")
    await world.settle()
    assert [event.data for event in seen] == ["usable"]
    assert client.state is SignallingClientState.CONNECTED
    assert client.statistics().frames_dropped == 1


@on_virtual_time
async def test_unusable_frames_are_logged_seldom(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client = await world.connected()
    with caplog.at_level(logging.WARNING, "agentbus.client"):
        for _ in range(3):
            for _ in range(100):
                world.hub.last.connection.send_text(b"nonsense")
            await world.sleep(11.0)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(",")[0] for line in lines] == [
        "dropped 1 unusable frame(s)",
        "dropped 100 unusable frame(s)",
        "dropped 100 unusable frame(s)",
    ]
    assert client.statistics().frames_dropped == 300


@on_virtual_time
async def test_a_second_welcome_is_ignored_and_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client = await world.connected()
    with caplog.at_level(logging.WARNING, "agentbus.client"):
        world.hub.last.send(**{**WELCOME, "peerId": "somebody else"})
        await world.settle()
    assert client.peer_id == "me"
    assert "Welcome" in caplog.text


ACKS = [
    b'{"type":"ack","requestId":"1"}',
    b'{"type": "ack", "requestId": "1"}',
    b'{"requestId":"1","type":"ack"}',
    b'{"type":"ack","requestId":"1","later":true}',
    rb'{"type":"ack","requestId":"\u0031"}',
]


@on_virtual_time
@pytest.mark.parametrize("ack", ACKS)
async def test_an_ack_counts_however_it_is_written(world: World, ack: bytes) -> None:
    client = await world.connected()
    world.hub.on_frame = lambda _session, _frame: None
    publishing, other = client.publish("room", 1), client.publish("room", 2)
    await world.settle()
    world.hub.last.connection.send_text(ack)
    assert await outcome(publishing) is None
    assert not other.done()
    assert client.statistics().frames_dropped == 0


@on_virtual_time
async def test_frames_before_the_welcome_are_dropped(world: World) -> None:
    def early(session: Session) -> None:
        session.message("room", "too early")
        session.send(type="ack", requestId="1")
        session.send(**WELCOME)

    world.hub.on_open = early
    client = world.client()
    seen = world.collect(client, ChannelMessage)
    await client.connect()
    await world.settle()
    assert (seen, client.statistics().frames_dropped) == ([], 2)


@on_virtual_time
async def test_binary_messages_are_dropped(world: World) -> None:
    client = await world.connected()
    world.hub.last.connection.send_frames(b"\x82\x03abc")
    await world.settle()
    assert client.statistics().frames_dropped == 1
    assert client.state is SignallingClientState.CONNECTED


@on_virtual_time
async def test_an_error_that_answers_nothing_is_an_event(world: World) -> None:
    client = await world.connected()
    seen = world.collect(client, ServerErrorEvent)
    world.hub.last.send(type="error", code="of the future", message="hm")
    world.hub.last.send(type="error", code="unknown_type")
    await world.settle()
    assert seen == [
        ServerErrorEvent("of the future", "hm", None),
        ServerErrorEvent("unknown_type", None, None),
    ]


texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=5,
)
FIELDS = ("channel", "from", "data", "fromMetadata", "requestId", "code", "message", "joined", "left")
KINDS = ("welcome", "ack", "error", "message", "direct", "presence", "going_away", "pong", "other")


def frame_text(kind: str, fields: dict[str, Any]) -> str:
    return json.dumps({**fields, "type": kind})


shaped = st.builds(
    frame_text,
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(FIELDS), values),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(shaped | texts, max_size=8))
def test_whatever_a_hub_says_the_connection_goes_on(said: list[str]) -> None:
    @on_virtual_time
    async def play(world: World) -> None:
        client = await world.connected()
        events = client.events()
        for text in said:
            world.hub.last.connection.send_text(text.encode())
        await client.publish("room", 1)
        assert client.state is SignallingClientState.CONNECTED
        assert all(repr(events.get(0)) for _ in range(len(events)))
        assert client.statistics().frames_dropped <= len(said)

    play()


@on_virtual_time
async def test_a_process_that_stood_still_reads_before_it_judges(world: World) -> None:
    client = await world.connected()
    seen = world.collect(client, ChannelMessage)
    await world.sleep(5.0)
    world.hub.last.message("room", "came meanwhile")
    world.loop.clock.advance(300.0)
    await world.sleep(30.0)
    assert [event.data for event in seen] == ["came meanwhile"]
    assert (client.state, client.statistics().connects) == (SignallingClientState.CONNECTED, 1)


# -- transports that break -----------------------------------------------------------------------------------


@on_virtual_time
async def test_a_transport_factory_that_raises_is_a_failed_attempt(world: World) -> None:
    def factory(*_args: Any) -> Transport:
        raise OSError("no such device")

    client = world.client(transport_factory=factory)
    ended = world.collect(client, DisconnectedEvent)
    error = await outcome(client.connect())
    assert isinstance(error, SignallingConnectError)
    assert error.close_code == 1006
    await world.settle()
    assert [event.will_reconnect for event in ended] == [False]


@on_virtual_time
async def test_a_transport_that_never_ends_is_given_up(world: World) -> None:
    class Endless:
        write_buffer_bytes = 0

        def send_text(self, payload: bytes, /) -> None:
            """Lose it."""

        def close(self, code: int, reason: str, /) -> None:
            """Never close."""

        def abort(self, code: int = 1006, /) -> None:
            """Never end."""

    def factory(_target: Target, _handler: TransportHandler, _loop: Loop) -> Transport:
        return Endless()

    client = world.client(transport_factory=factory)
    error = await outcome(client.connect())
    assert isinstance(error, SignallingConnectError)
    assert (error.close_code, world.now) == (4000, 11.0)


@on_virtual_time
async def test_a_connection_whose_code_breaks_is_replaced(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Let it crash: its last word is a lost connection, and the supervisor goes on."""
    client = await world.connected(reconnect=STEADY)
    ended = world.collect(client, DisconnectedEvent)
    world.hub.on_frame = lambda _session, _frame: None
    pending = client.publish("room", 1)
    broken: Future[None] = Future()
    await world.settle()
    (connection,) = world.runtime.registry.get_by_class(ConnectionActor)
    with caplog.at_level(logging.CRITICAL, "agentbus.runtime"):
        no_bytes: Any = "no bytes"
        connection.tell(ConnectionActor.Submit(b"", no_bytes, broken))
        assert isinstance(await outcome(pending), DisconnectedError)
        assert isinstance(await outcome(broken), DisconnectedError)
        await world.sleep(1.5)
    assert [(event.code, event.will_reconnect) for event in ended] == [(1006, True)]
    assert client.state is SignallingClientState.CONNECTED
    assert len(world.hub.sessions) == 2


@on_virtual_time
async def test_requests_that_reach_an_ending_connection_are_answered(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    (connection,) = world.runtime.registry.get_by_class(ConnectionActor)
    stopped = connection.stop(block=False)
    late = [client.publish("room", 1), client.subscribe("room"), client.unsubscribe("room")]
    await stopped
    later = [client.publish("room", 2), client.send("p", 2), client.subscribe("room")]
    for request in (*late, *later):
        assert isinstance(await outcome(request), NotConnectedError)
    assert client.subscriptions == frozenset()
    await world.sleep(1.5)
    assert client.state is SignallingClientState.CONNECTED


@on_virtual_time
async def test_a_retry_after_is_a_lower_bound(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    world.hub.on_request = lambda _session: Reject(429, {"Retry-After": "20"})
    world.hub.last.cut()
    await world.sleep(2.0)
    assert len(world.hub.dials) == 2
    world.hub.on_request = lambda _session: None
    await world.sleep(18.5)
    assert client.state is SignallingClientState.RECONNECTING
    await world.sleep(1.0)
    assert client.state is SignallingClientState.CONNECTED


@on_virtual_time
async def test_http_statuses_have_a_field_of_their_own(world: World) -> None:
    world.hub.on_request = lambda _session: Reject(503, {}, "later")
    error = await outcome(world.client().connect())
    assert isinstance(error, SignallingConnectError)
    assert (error.close_code, error.http_status) == (1006, 503)


@pytest.mark.parametrize("actor", [ConnectionActor, SubscriptionActor, SupervisorActor])
def test_actors_shadow_nothing_of_the_runtime_s(actor: type[LoopActor]) -> None:
    meant = {"on_start", "on_stop", "on_failure", "_handlers", "_abc_impl"}
    inherited = {name for base in actor.__mro__[1:] for name in (*vars(base), *annotated(base))}
    own = {name for name in vars(actor) if not name.startswith("__")}
    own |= set(re.findall(r"self\.(\w+)(?:: [^=\n]+)? = ", inspect.getsource(actor)))
    assert own & inherited <= meant


def annotated(cls: type) -> dict[str, object]:
    return vars(cls).get("__annotations__", {})
