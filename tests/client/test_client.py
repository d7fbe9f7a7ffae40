"""The facade on virtual time: what callers see."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec import Raw

from agentbus.client import (
    ChannelMessage,
    ConnectedEvent,
    DirectMessage,
    DisconnectedEvent,
    EventLost,
    GoingAwayEvent,
    PresenceEvent,
    PresencePeer,
    ReconnectOptions,
    SignallingClient,
    SignallingClientOptions,
    SignallingClientState,
    StateChange,
)
from agentbus.errors import EncodeError, InvalidNameError, MailboxFullError, StreamClosedError
from tests.client.world import KEY, WELCOME, Session, World, on_virtual_time, outcome, running

STEADY = ReconnectOptions(initial_delay=1.0, multiplier=1.0, jitter_ratio=0.0)


# -- making one ----------------------------------------------------------------------------------------------


def test_options_and_keywords_are_the_same() -> None:
    options = SignallingClientOptions(api_key=KEY, inactivity_timeout=5.0)
    assert SignallingClient(options).options == SignallingClient(api_key=KEY, inactivity_timeout=5.0).options
    with pytest.raises(TypeError):
        SignallingClient(options, api_key=KEY)


def test_the_constructor_does_not_connect() -> None:
    client = SignallingClient(api_key=KEY)
    assert client.state is SignallingClientState.IDLE
    assert (client.peer_id, client.max_message_size) == (None, None)
    assert (client.subscriptions, client.roster("room")) == (frozenset(), ())
    assert repr(client) == "<SignallingClient wss://rms.metered.ca idle>"


@on_virtual_time
async def test_snapshots_follow_the_connection(world: World) -> None:
    client = await world.connected()
    assert (client.peer_id, client.max_message_size) == ("me", 65_536)
    assert client.statistics().connects == 1
    world.hub.last.cut()
    await world.settle()
    assert (client.peer_id, client.max_message_size) == (None, None)


@on_virtual_time
async def test_async_with_connects_and_disposes(world: World) -> None:
    async with world.client() as client:
        assert client.state is SignallingClientState.CONNECTED
    assert client.state is SignallingClientState.CLOSED


@on_virtual_time
async def test_async_with_disposes_when_it_cannot_connect(world: World) -> None:
    world.hub.on_open = lambda session: session.close(4001)
    client = world.client()
    stream = client.events(ConnectedEvent)
    with pytest.raises(Exception, match="4001"):
        async with client:
            pytest.fail("it is not connected")
    with pytest.raises(StreamClosedError):
        await anext_or_closed(stream)


async def anext_or_closed(stream: Any) -> Any:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        raise StreamClosedError from None


# -- requests ------------------------------------------------------------------------------------------------


@dataclass
class Reading:
    sensor: str
    value: int


@on_virtual_time
async def test_data_is_whatever_msgspec_encodes(world: World) -> None:
    client = await world.connected()
    values = [None, {"a": [1]}, "text", Reading("T-12", 92), Raw(b'{"raw":  true}')]
    for value in values:
        await client.publish("room", value)
        await client.send("peer", value)
    got = [frame["data"] for frame in world.hub.last.of_type("publish")]
    assert got == [None, {"a": [1]}, "text", {"sensor": "T-12", "value": 92}, {"raw": True}]
    assert [frame["data"] for frame in world.hub.last.of_type("send")] == got


@on_virtual_time
async def test_data_is_encoded_before_the_call_returns(world: World) -> None:
    client = await world.connected()
    data = {"n": 1}
    publishing = client.publish("room", data)
    data["n"] = 2
    await publishing
    assert world.hub.last.received[0]["data"] == {"n": 1}


@on_virtual_time
async def test_wrong_requests_fail_with_their_own_errors(world: World) -> None:
    client = await world.connected()
    for request in (
        client.publish("", 1),
        client.subscribe("a\n"),
        client.unsubscribe("x" * 257),
        client.send("", 1),
    ):
        assert isinstance(await outcome(request), InvalidNameError)
    assert isinstance(await outcome(client.publish("room", object())), EncodeError)
    assert (world.hub.last.received, client.subscriptions) == ([], frozenset())


@on_virtual_time
async def test_frames_leave_in_the_order_of_the_calls(world: World) -> None:
    client = await world.connected()
    requests = [
        client.subscribe("a"),
        client.publish("a", 1),
        client.unsubscribe("a"),
        client.send("p", 1),
        client.subscribe("a"),
    ]
    for request in requests:
        await request
    kinds = [frame["type"] for frame in world.hub.last.received]
    assert kinds == ["subscribe", "publish", "unsubscribe", "send", "subscribe"]
    assert [frame["requestId"] for frame in world.hub.last.received] == ["1", "2", "3", "4", "5"]


@on_virtual_time
async def test_a_publish_before_a_close_still_leaves(world: World) -> None:
    client = await world.connected()
    publishing, closing = client.publish("room", 1), client.close()
    await closing
    await outcome(publishing)
    assert [frame["type"] for frame in world.hub.last.received] == ["publish"]


@on_virtual_time
async def test_cancelling_the_task_does_not_take_a_request_back(world: World) -> None:
    client = await world.connected()

    async def publish() -> None:
        await client.publish("room", 1)

    task = running(publish())
    await asyncio.sleep(0)
    task.cancel()
    await world.settle()
    assert task.cancelled()
    assert len(world.hub.last.received) == 1


@on_virtual_time
async def test_cancelling_one_connect_leaves_the_others_alone(world: World) -> None:
    world.hub.on_open = lambda session: world.loop.call_later(5.0, world.hub.welcome, session)
    client = world.client()
    other = client.connect()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await client.connect()
    assert (await other).peer_id == "me"


@on_virtual_time
async def test_requests_that_wait_for_acks_are_bounded(world: World) -> None:
    client = await world.connected(max_pending_requests=3)
    world.hub.on_frame = lambda _session, _frame: None
    waiting = [client.publish("room", n) for n in range(3)]
    await world.settle()
    assert isinstance(await outcome(client.publish("room", 3)), MailboxFullError)
    for number in (1, 2, 3):
        world.hub.last.ack({"requestId": str(number)})
    for request in waiting:
        await request


@on_virtual_time
async def test_requests_that_wait_for_the_loop_are_bounded(world: World) -> None:
    client = await world.connected(max_pending_requests=3)
    requests = [client.publish("room", n) for n in range(5)]
    results = [await outcome(request) for request in requests]
    assert [type(result) for result in results] == [type(None)] * 3 + [MailboxFullError] * 2


@on_virtual_time
async def test_back_pressure_lets_requests_wait_and_loses_none(world: World) -> None:
    client = await world.connected(inactivity_timeout=0)
    connection: Any = world.hub.last.connection
    hub_end = connection._transport  # the network's tap
    assert hub_end is not None
    hub_end.pause_reading()
    requests = [client.publish("room", "x" * 10_000) for _ in range(50)]
    await world.sleep(5.0)
    more = [client.publish("room", "y" * 10_000) for _ in range(50)]
    await world.sleep(5.0)
    assert not any(request.done() for request in (*requests, *more))
    hub_end.resume_reading()
    for request in (*requests, *more):
        await request
    assert [frame["data"][0] for frame in world.hub.last.received] == ["x"] * 50 + ["y"] * 50


@on_virtual_time
async def test_back_pressure_is_bounded(world: World) -> None:
    client = await world.connected(max_unsent_bytes=25_000, inactivity_timeout=0)
    connection: Any = world.hub.last.connection
    hub_end = connection._transport  # the network's tap
    assert hub_end is not None
    hub_end.pause_reading()
    first = [client.publish("room", "x" * 10_000) for _ in range(20)]
    await world.sleep(1.0)
    second = [client.publish("room", "x" * 10_000) for _ in range(4)]
    await world.settle()
    refused = [request for request in second if request.done()]
    assert len(refused) == 2
    for request in refused:
        assert isinstance(await outcome(request), MailboxFullError)
    world.hub.last.cut()
    never_left = [type(await outcome(request)).__name__ for request in second[:2]]
    assert never_left == ["NotConnectedError"] * 2
    assert {type(await outcome(request)).__name__ for request in first} == {"DisconnectedError"}


@on_virtual_time
async def test_what_is_posted_asks_for_no_ack_and_keeps_its_place(world: World) -> None:
    client = await world.connected()
    first = client.send("peer", 1)
    client.post("peer", 2)
    last = client.send("peer", 3)
    await first
    await last
    frames = world.hub.last.of_type("send")
    assert [frame["data"] for frame in frames] == [1, 2, 3]
    assert ["requestId" in frame for frame in frames] == [True, False, True]


@on_virtual_time
async def test_what_is_posted_while_not_connected_is_dropped(world: World) -> None:
    client = world.client()
    client.post("peer", "too early")
    await client.connect()
    client.post("peer", "in time")
    await world.settle()
    assert [frame["data"] for frame in world.hub.last.of_type("send")] == ["in time"]
    with pytest.raises(InvalidNameError):
        client.post("", 1)
    with pytest.raises(EncodeError):
        client.post("peer", object())


@on_virtual_time
async def test_what_is_posted_waits_for_a_congested_network_within_bounds(world: World) -> None:
    client = await world.connected(max_unsent_bytes=25_000, inactivity_timeout=0)
    connection: Any = world.hub.last.connection
    hub_end = connection._transport  # the network's tap
    assert hub_end is not None
    hub_end.pause_reading()
    first = [client.send("peer", "x" * 10_000) for _ in range(20)]
    await world.sleep(1.0)
    for _ in range(4):
        client.post("peer", "y" * 10_000)
    await world.settle()
    hub_end.resume_reading()
    for request in first:
        await request
    await world.settle()
    assert [frame["data"][0] for frame in world.hub.last.of_type("send")] == ["x"] * 20 + ["y"] * 2


# -- listening -----------------------------------------------------------------------------------------------


@on_virtual_time
async def test_three_ways_to_receive(world: World) -> None:
    client = world.client()
    by_decorator: list[ChannelMessage] = []
    by_name: list[ChannelMessage] = []
    in_room: list[ChannelMessage] = []
    stream = client.events(ChannelMessage, DirectMessage)

    async def handler(event: ChannelMessage) -> None:
        by_decorator.append(event)

    assert client.on(ChannelMessage)(handler) is handler
    client.on(ChannelMessage, channel="room")(in_room.append)
    subscription = client.on_message.subscribe(by_name.append)
    await client.connect()
    world.hub.last.message("room", 1)
    world.hub.last.send(type="direct", **{"from": "p"}, data=2, fromMetadata={"name": "Ann"})
    world.hub.last.message("other", 3)
    await world.settle()
    subscription.cancel()
    world.hub.last.message("room", 4)
    await world.settle()
    assert [event.data for event in by_decorator] == [1, 3, 4]
    assert [event.data for event in by_name] == [1, 3]
    assert [event.data for event in in_room] == [1, 4]
    assert [(await anext(stream)).data for _ in range(4)] == [1, 2, 3, 4]


@on_virtual_time
async def test_a_stream_of_one_channel(world: World) -> None:
    client = await world.connected()
    stream = client.events(ChannelMessage, PresenceEvent, channel="room")
    world.hub.last.message("other", 1)
    world.hub.last.message("room", 2)
    world.hub.last.send(type="presence", channel="room", joined=[{"peerId": "p"}], left=[])
    first, second = await anext(stream), await anext(stream)
    assert isinstance(first, ChannelMessage)
    assert first.data == 2
    assert isinstance(second, PresenceEvent)
    stream.close()


def test_kinds_that_do_not_exist() -> None:
    client = SignallingClient(api_key=KEY)
    with pytest.raises(TypeError, match="ChannelMessage"):
        client.on(EventLost)
    with pytest.raises(TypeError, match="no channel"):
        client.on(DirectMessage, channel="room")
    with pytest.raises(TypeError):
        client.events(EventLost)


@on_virtual_time
async def test_streams_end_at_dispose_and_not_at_close(world: World) -> None:
    client = await world.connected()
    stream = client.events(StateChange)
    elsewhere = client.events(ChannelMessage, channel="room")
    await client.close()
    await client.dispose()
    assert [(event.previous, event.current) async for event in stream] == [("connected", "closed")]
    assert [event async for event in elsewhere] == []
    assert [event async for event in client.events(ChannelMessage)] == []
    assert [event async for event in client.events(ChannelMessage, channel="late")] == []


@on_virtual_time
async def test_a_slow_reader_is_told_what_it_lost(world: World) -> None:
    client = await world.connected()
    stream = client.events(ChannelMessage, capacity=10)
    for number in range(25):
        world.hub.last.message("room", number)
    await world.settle()
    first = await anext(stream)
    assert first == EventLost(15)
    assert [(await anext(stream)).data for _ in range(10)] == list(range(15, 25))
    assert stream.lost == 15


@on_virtual_time
async def test_a_slow_callback_is_told_what_it_lost(world: World) -> None:
    client = await world.connected()
    seen: list[Any] = []

    @client.on(ChannelMessage)
    async def slow(event: ChannelMessage) -> None:
        seen.append(event)
        await world.sleep(1.0)

    for number in range(2000):
        world.hub.last.message("room", number)
    await world.sleep(2.0)
    assert seen[0] == EventLost(976)
    assert seen[1].data == 976
    await world.sleep(1024.0)
    assert seen[-1].data == 1999


@on_virtual_time
async def test_a_handler_that_raises_delays_nobody(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client = await world.connected()
    seen: list[int] = []

    @client.on(ChannelMessage)
    def broken(event: ChannelMessage) -> None:
        raise RuntimeError("broken")

    @client.on(ChannelMessage)
    def sound(event: ChannelMessage) -> None:
        seen.append(event.data)

    with caplog.at_level(logging.ERROR, "agentbus.runtime"):
        world.hub.last.message("room", 1)
        world.hub.last.message("room", 2)
        await world.settle()
    assert seen == [1, 2]
    assert caplog.text.count("RuntimeError: broken") == 2
    assert world.expect_failures(2)


@on_virtual_time
async def test_listeners_of_a_channel_leave_nothing_behind(world: World) -> None:
    client = await world.connected()
    inside: Any = client
    before = len(inside._listeners.by_channel(ChannelMessage))
    for number in range(100):
        client.events(ChannelMessage, channel=f"reply-{number}").close()
    assert len(inside._listeners.by_channel(ChannelMessage)) == before


# -- order ---------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_nothing_is_heard_before_connected_and_nothing_after_disconnected(world: World) -> None:
    def eager(session: Session) -> None:
        session.send(**WELCOME)
        session.message("room", "early")
        session.send(type="direct", **{"from": "p"}, data="early")

    world.hub.on_open = eager
    client = world.client(reconnect=STEADY)
    stream = client.events()
    await client.connect()
    world.hub.last.message("room", "late")
    world.hub.last.close(1012)
    await world.settle()
    await client.dispose()
    kinds = [type(event).__name__ async for event in stream]
    assert kinds == [
        "StateChange",
        "StateChange",
        "ConnectedEvent",
        "ChannelMessage",
        "DirectMessage",
        "ChannelMessage",
        "StateChange",
        "DisconnectedEvent",
        "StateChange",
    ]


@on_virtual_time
async def test_a_handler_of_connected_finds_the_client_connected(world: World) -> None:
    client = world.client(reconnect=STEADY)
    done: list[object] = []

    @client.on(ConnectedEvent)
    async def greet(event: ConnectedEvent) -> None:
        done.append(client.state)
        done.append(await outcome(client.publish("room", "hello")))

    await client.connect()
    await world.settle()
    world.hub.last.cut()
    await world.sleep(1.5)
    assert done == [SignallingClientState.CONNECTED, None] * 2


@on_virtual_time
async def test_a_handler_of_disconnected_finds_the_client_reconnecting(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    seen: list[SignallingClientState] = []

    @client.on(DisconnectedEvent)
    def look(event: DisconnectedEvent) -> None:
        seen.append(client.state)

    world.hub.last.cut()
    await world.settle()
    assert seen == [SignallingClientState.RECONNECTING]


# -- presence ------------------------------------------------------------------------------------------------


def present(session: Session, joined: list[dict[str, Any]], left: list[dict[str, Any]]) -> None:
    session.send(type="presence", channel="room", joined=joined, left=left)


@on_virtual_time
async def test_the_first_presence_after_an_ack_is_the_snapshot(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    events = world.collect(client, PresenceEvent)

    def populated(session: Session, frame: dict[str, Any]) -> None:
        session.ack(frame)
        if frame["type"] == "subscribe":
            present(session, [{"peerId": "a", "metadata": {"name": "Ann"}}], [])

    world.hub.on_frame = populated
    await client.subscribe("room")
    present(world.hub.last, [{"peerId": "b"}], [])
    present(world.hub.last, [], [{"peerId": "a"}])
    await world.settle()
    assert [event.is_snapshot for event in events] == [True, False, False]
    assert client.roster("room") == (PresencePeer("b", None),)
    world.hub.last.cut()
    await world.sleep(1.5)
    assert events[-1].is_snapshot
    assert [peer.metadata for peer in client.roster("room")] == [{"name": "Ann"}]
    await client.unsubscribe("room")
    assert client.roster("room") == ()


@on_virtual_time
async def test_going_away_is_informational(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    events = world.collect(client, GoingAwayEvent)
    world.hub.last.send(type="going_away", retryAfterMs=20_000)
    await world.settle()
    world.hub.last.close(1001)
    await world.sleep(1.5)
    assert events == [GoingAwayEvent(20.0)]
    assert client.state is SignallingClientState.CONNECTED
