"""Subscriptions across refusals, races and connections, on virtual time."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbus.client import PresenceEvent, ReconnectOptions, ServerErrorEvent, SignallingClientState
from agentbus.client.subscription import SubscriptionActor
from agentbus.errors import NotConnectedError, SignallingServerError
from tests.client.world import Frame, Session, World, on_virtual_time, outcome

STEADY = ReconnectOptions(initial_delay=1.0, multiplier=1.0, jitter_ratio=0.0)


def refuse(session: Session, frame: Frame) -> None:
    session.refuse(frame, "channel_not_authorized")


@on_virtual_time
async def test_a_refused_change_of_options_keeps_the_subscription_as_it_was(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    await client.subscribe("room", include_sender_metadata=True)
    world.hub.on_frame = refuse
    assert isinstance(await outcome(client.subscribe("room")), SignallingServerError)
    assert client.subscriptions == {"room"}
    world.hub.on_frame = world.hub.answer
    world.hub.last.cut()
    await world.sleep(1.5)
    assert [frame["includeSenderMetadata"] for frame in world.hub.last.received] == [True]


@on_virtual_time
async def test_a_refusal_undoes_its_own_request_only(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    world.hub.on_frame = lambda _session, _frame: None
    first, second = client.subscribe("room"), client.subscribe("room", include_sender_metadata=True)
    await world.settle()
    refuse(world.hub.last, world.hub.last.received[0])
    assert isinstance(await outcome(first), SignallingServerError)
    assert client.subscriptions == {"room"}
    refuse(world.hub.last, world.hub.last.received[1])
    assert isinstance(await outcome(second), SignallingServerError)
    assert client.subscriptions == frozenset()


@on_virtual_time
async def test_a_refused_subscribe_after_an_unsubscribe_brings_nothing_back(world: World) -> None:
    client = await world.connected()
    await client.subscribe("room")
    world.hub.on_frame = lambda _session, _frame: None
    leaving, returning = client.unsubscribe("room"), client.subscribe("room")
    await world.settle()
    _, leave, come = world.hub.last.received
    world.hub.last.ack(leave)
    refuse(world.hub.last, come)
    await leaving
    assert isinstance(await outcome(returning), SignallingServerError)
    assert client.subscriptions == frozenset()


@on_virtual_time
async def test_a_refused_unsubscribe_stays_untracked(world: World) -> None:
    client = await world.connected()
    await client.subscribe("room")
    world.hub.on_frame = lambda session, frame: session.refuse(frame, "internal_error")
    assert isinstance(await outcome(client.unsubscribe("room")), SignallingServerError)
    assert client.subscriptions == frozenset()


@on_virtual_time
async def test_subscriptions_survive_a_close_and_a_new_connect(world: World) -> None:
    client = await world.connected()
    await client.subscribe("room")
    await client.close()
    assert client.subscriptions == {"room"}
    await client.connect()
    await world.settle()
    assert [frame["channel"] for frame in world.hub.last.received] == ["room"]


@on_virtual_time
async def test_a_caller_s_subscribe_overtakes_a_replay_that_is_being_refused(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    await client.subscribe("room")
    world.hub.on_frame = refuse
    world.hub.last.cut()
    await world.sleep(2.5)
    world.hub.on_frame = world.hub.answer
    await client.subscribe("room", include_sender_metadata=True)
    await world.sleep(20.0)
    assert len(world.hub.last.of_type("subscribe")) == 2


@on_virtual_time
async def test_an_unsubscribe_ends_a_replay_that_is_being_refused(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    await client.subscribe("room")
    errors = world.collect(client, ServerErrorEvent)
    world.hub.on_frame = refuse
    world.hub.last.cut()
    await world.sleep(2.5)
    world.hub.on_frame = world.hub.answer
    await client.unsubscribe("room")
    await world.sleep(20.0)
    assert [frame["type"] for frame in world.hub.last.received] == ["subscribe", "unsubscribe"]
    assert errors == []


@on_virtual_time
async def test_an_actor_lives_as_long_as_its_channel_is_wanted(world: World) -> None:
    client = await world.connected()
    actors = world.runtime.registry.get_by_class

    await client.subscribe("a")
    await client.subscribe("b")
    await world.settle()
    assert len(actors(SubscriptionActor)) == 2
    await client.unsubscribe("a")
    await client.unsubscribe("never-wanted")
    await world.settle()
    assert len(actors(SubscriptionActor)) == 1
    for number in range(50):
        await client.subscribe(f"reply-{number}")
        await client.unsubscribe(f"reply-{number}")
    await world.settle()
    assert len(actors(SubscriptionActor)) == 1


@on_virtual_time
async def test_an_actor_that_breaks_takes_its_channel_alone_with_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    client = await world.connected()
    await client.subscribe("a")
    await client.subscribe("b")
    broken, _ = world.runtime.registry.get_by_class(SubscriptionActor)
    with caplog.at_level(logging.CRITICAL, "agentbus.runtime"):
        nothing: Any = None
        broken.tell(SubscriptionActor.Settled(nothing, nothing, nothing))
        await world.settle()
    assert (client.state, client.subscriptions) == (SignallingClientState.CONNECTED, {"b"})
    await client.subscribe("a")
    assert client.subscriptions == {"a", "b"}


@on_virtual_time
async def test_a_channel_can_be_wanted_again_while_its_actor_ends(world: World) -> None:
    client = await world.connected()
    for _ in range(20):
        requests = [client.subscribe("a"), client.unsubscribe("a"), client.subscribe("a")]
        for request in requests:
            await request
        assert client.subscriptions == {"a"}
        await client.unsubscribe("a")


@on_virtual_time
async def test_a_resubscribe_is_answered_with_a_fresh_snapshot(world: World) -> None:
    client = await world.connected()
    events = world.collect(client, PresenceEvent)
    await client.subscribe("room")
    await client.subscribe("room")
    world.hub.last.send(type="presence", channel="room", joined=[{"peerId": "p"}], left=[])
    world.hub.last.send(type="presence", channel="other", joined=[{"peerId": "p"}], left=[])
    await world.settle()
    assert [event.is_snapshot for event in events] == [True, True, False, False]
    assert [peer.peer_id for peer in client.roster("room")] == ["p"]
    assert client.roster("other") == ()


@on_virtual_time
async def test_a_snapshot_that_was_due_on_a_lost_connection_is_not_expected_of_the_next(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    world.hub.on_frame = lambda session, frame: session.ack(frame)
    await client.subscribe("room")
    events = world.collect(client, PresenceEvent)
    world.hub.on_frame = lambda _session, _frame: None
    world.hub.last.cut()
    await world.sleep(1.5)
    world.hub.last.send(type="presence", channel="room", joined=[{"peerId": "p"}], left=[])
    await world.settle()
    assert [event.is_snapshot for event in events] == [False]


@on_virtual_time
async def test_a_roster_of_a_channel_that_was_given_up_is_not_kept(world: World) -> None:
    client = await world.connected()
    requests = [client.subscribe("room"), client.unsubscribe("room")]
    for request in requests:
        await request
    await world.settle()
    assert client._board.view.rosters == {}  # pyright: ignore[reportPrivateUsage] -- it is about memory


steps = st.sampled_from(["subscribe", "refused", "unsubscribe", "cut", "offline"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(steps, st.sampled_from("ab")), max_size=12))
def test_what_is_tracked_follows_from_the_outcomes(script: list[tuple[str, str]]) -> None:
    """The rule of spec section 7, *tracking*, against a model: replays ask for exactly what is tracked."""

    @on_virtual_time
    async def play(world: World) -> None:
        client = await world.connected(reconnect=STEADY)
        model: dict[str, None] = {}
        for step, channel in script:
            if step == "subscribe":
                await client.subscribe(channel)
                model[channel] = None
            elif step == "refused":
                world.hub.on_frame = refuse
                await outcome(client.subscribe(channel))
                world.hub.on_frame = world.hub.answer
            elif step == "unsubscribe":
                await client.unsubscribe(channel)
                model.pop(channel, None)
            elif step == "offline":
                world.hub.last.cut()
                await world.settle()
                assert isinstance(await outcome(client.subscribe(channel)), NotConnectedError)
                await world.sleep(1.5)
            else:
                world.hub.last.cut()
                await world.sleep(1.5)
                replayed = [frame["channel"] for frame in world.hub.last.of_type("subscribe")]
                assert sorted(replayed) == sorted(model)
            assert client.subscriptions == set(model)

    play()
