"""What the client owes: one test, or several, for each row of spec section 7, by its name."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from agentbus.client import (
    CloseCode,
    ConnectedEvent,
    DisconnectedEvent,
    PresenceEvent,
    ReconnectOptions,
    ServerErrorEvent,
    SignallingClientState,
    TokenProviderErrorEvent,
)
from agentbus.errors import (
    AckTimeoutError,
    ClientDisposedError,
    DisconnectedError,
    NotConnectedError,
    OversizedPayloadError,
    SignallingConnectError,
    SignallingServerError,
    TokenProviderError,
)
from agentbus.runtime import Future
from tests.client.world import Frame, Session, World, on_virtual_time, outcome

STEADY = ReconnectOptions(initial_delay=1.0, multiplier=1.0, jitter_ratio=0.0)


def silent(_session: Session, _frame: Frame | None = None) -> None:
    """Say nothing."""


def only(kind: str, then: Callable[[Session, Frame], object]) -> Callable[[Session, Frame], object]:
    """Answer frames of one kind with `then`, and all others as usual."""

    def on_frame(session: Session, frame: Frame) -> None:
        if frame["type"] == kind:
            then(session, frame)
        else:
            session.hub.answer(session, frame)

    return on_frame


# -- welcome timeout -----------------------------------------------------------------------------------------


@on_virtual_time
async def test_duty_welcome_timeout(world: World) -> None:
    world.hub.on_open = silent
    client = world.client()
    error = await outcome(client.connect())
    assert isinstance(error, SignallingConnectError)
    assert error.close_code == 4000
    assert 10.0 <= world.now <= 11.0
    assert client.state is SignallingClientState.CLOSED
    assert world.hub.last.closed is not None
    assert world.hub.last.closed[0] == 4000


@on_virtual_time
async def test_duty_welcome_timeout_is_reported_as_4000_though_nobody_answers(world: World) -> None:
    world.hub.on_open = silent
    client = world.client()
    ended = world.collect(client, DisconnectedEvent)
    connecting = client.connect()
    await world.sleep(9.0)
    world.hub.last.connection.deaf = True
    error = await outcome(connecting)
    assert isinstance(error, SignallingConnectError)
    await world.settle()
    assert (error.close_code, [event.code for event in ended]) == (4000, [4000])


# -- ack timeout ---------------------------------------------------------------------------------------------


@on_virtual_time
async def test_duty_ack_timeout(world: World) -> None:
    client = await world.connected()
    world.hub.on_frame = silent
    early = client.publish("room", 1)
    await world.sleep(5.0)
    late = client.publish("room", 2)
    error = await outcome(early)
    assert isinstance(error, AckTimeoutError)
    assert isinstance(error, TimeoutError)
    assert world.now == pytest.approx(15.0, abs=1e-3)
    assert not late.done()
    assert isinstance(await outcome(late), AckTimeoutError)
    assert world.now == pytest.approx(20.0, abs=1e-3)


@on_virtual_time
async def test_duty_ack_timeout_a_late_ack_is_ignored(world: World) -> None:
    client = await world.connected()
    errors = world.collect(client, ServerErrorEvent)
    world.hub.on_frame = silent
    assert isinstance(await outcome(client.publish("room", 1)), AckTimeoutError)
    world.hub.last.ack(world.hub.last.received[0])
    world.hub.on_frame = world.hub.answer
    await client.publish("room", 2)
    assert (client.state, errors) == (SignallingClientState.CONNECTED, [])


@on_virtual_time
async def test_duty_ack_timeout_what_follows_a_late_ack_of_a_subscribe_is_a_snapshot(world: World) -> None:
    client = await world.connected()
    presence = world.collect(client, PresenceEvent)
    world.hub.on_frame = silent
    assert isinstance(await outcome(client.subscribe("room")), AckTimeoutError)
    world.hub.last.ack(world.hub.last.received[0])
    world.hub.last.send(type="presence", channel="room", joined=[{"peerId": "bob"}], left=[])
    await world.settle()
    assert [event.is_snapshot for event in presence] == [True]
    assert [peer.peer_id for peer in client.roster("room")] == ["bob"]


# -- disconnect ----------------------------------------------------------------------------------------------


@on_virtual_time
async def test_duty_disconnect_fails_what_is_pending_at_once(world: World) -> None:
    client = await world.connected()
    world.hub.on_frame = silent
    pending: list[Future[None]] = [
        client.publish("room", 1),
        client.send("peer", 1),
        client.subscribe("room"),
        client.unsubscribe("room"),
    ]
    await world.settle()
    world.hub.last.close(4011, "slow down")
    for request in pending:
        error = await outcome(request)
        assert isinstance(error, DisconnectedError)
        assert error.close_code == 4011
        assert "may or may not" in str(error)
    assert world.now < 0.1


@on_virtual_time
async def test_duty_disconnect_a_request_while_not_connected_never_leaves(world: World) -> None:
    client = world.client()
    for request in (
        client.publish("a", 1),
        client.send("p", 1),
        client.subscribe("a"),
        client.unsubscribe("a"),
    ):
        assert isinstance(await outcome(request), NotConnectedError)
    assert world.hub.sessions == []
    assert client.subscriptions == frozenset()


# -- connect -------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_duty_connect_returns_the_same_result(world: World) -> None:
    client = world.client()
    first, second = client.connect(), client.connect()
    assert await first is await second
    assert await client.connect() is await first
    assert len(world.hub.sessions) == 1


@on_virtual_time
async def test_duty_connect_while_reconnecting_shares_the_next_welcome(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    world.hub.last.cut()
    await world.settle()
    assert client.state is SignallingClientState.RECONNECTING
    event = await client.connect()
    assert event.is_reconnect
    assert len(world.hub.sessions) == 2


@on_virtual_time
async def test_duty_connect_may_be_called_again_after_close(world: World) -> None:
    client = await world.connected()
    await client.close()
    event = await client.connect()
    assert not event.is_reconnect
    assert client.state is SignallingClientState.CONNECTED


@on_virtual_time
async def test_duty_connect_raises_after_dispose(world: World) -> None:
    client = await world.connected()
    await client.dispose()
    with pytest.raises(ClientDisposedError):
        await client.connect()
    assert isinstance(await outcome(client.publish("room", 1)), NotConnectedError)
    await client.close()


@on_virtual_time
async def test_duty_connect_a_failed_first_attempt_is_its_caller_s(world: World) -> None:
    world.hub.on_open = lambda session: session.close(4010, "full")
    client = world.client()
    error = await outcome(client.connect())
    assert isinstance(error, SignallingConnectError)
    assert (error.close_code, error.reason) == (4010, "full")
    await world.sleep(100.0)
    assert len(world.hub.sessions) == 1
    world.hub.on_open = world.hub.welcome
    await client.connect()
    assert client.state is SignallingClientState.CONNECTED


# -- events --------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_duty_events_every_ended_attempt_is_one_disconnected_event(world: World) -> None:
    client = world.client(reconnect=STEADY)
    ended = world.collect(client, DisconnectedEvent)
    world.hub.on_open = lambda session: session.close(1013)
    await outcome(client.connect())
    await world.settle()
    assert [(event.code, event.will_reconnect) for event in ended] == [(1013, False)]
    world.hub.on_open = world.hub.welcome
    await client.connect()
    world.hub.on_open = lambda session: session.close(1012)
    world.hub.last.close(1001)
    await world.sleep(2.5)
    world.hub.on_open = lambda session: session.close(4020, "out")
    await world.sleep(1.0)
    assert [(event.code, event.will_reconnect) for event in ended[1:]] == [
        (1001, True),
        (1012, True),
        (1012, True),
        (4020, False),
    ]
    assert ended[-1].reason == "out"
    assert client.state is SignallingClientState.CLOSED


@on_virtual_time
async def test_duty_events_will_reconnect_is_the_truth_when_attempts_are_used_up(world: World) -> None:
    client = await world.connected(
        reconnect=ReconnectOptions(initial_delay=1.0, multiplier=1.0, max_attempts=2)
    )
    ended = world.collect(client, DisconnectedEvent)
    world.hub.on_open = lambda session: session.close(1011)
    world.hub.last.cut()
    await world.sleep(60.0)
    assert [event.will_reconnect for event in ended] == [True, True, False]
    assert len(world.hub.sessions) == 3


# -- keepalive and watchdog ----------------------------------------------------------------------------------


@on_virtual_time
async def test_duty_keepalive(world: World) -> None:
    await world.connected(inactivity_timeout=30.0)
    times: list[float] = []
    world.hub.on_frame = lambda _session, _frame: times.append(round(world.now, 3))
    await world.sleep(25.0)
    assert times == [10.0, 20.0]
    assert world.hub.last.of_type("ping") == [{"type": "ping"}, {"type": "ping"}]


@on_virtual_time
async def test_duty_keepalive_is_at_least_a_second(world: World) -> None:
    await world.connected(inactivity_timeout=2.4)
    await world.sleep(2.3)
    assert len(world.hub.last.of_type("ping")) == 2


@on_virtual_time
async def test_duty_keepalive_an_old_hub_s_answer_is_swallowed_and_nothing_else(world: World) -> None:
    client = await world.connected(inactivity_timeout=30.0)
    errors = world.collect(client, ServerErrorEvent)
    unknown = {"type": "error", "code": "unknown_type", "message": "what?"}
    world.hub.on_frame = only("ping", lambda session, _frame: session.send(**unknown))
    await world.sleep(11.0)
    assert (errors, client.state) == ([], SignallingClientState.CONNECTED)
    world.hub.last.send(**unknown)
    world.hub.last.send(**unknown, requestId="77")
    await world.settle()
    assert [event.request_id for event in errors] == [None, "77"]


@on_virtual_time
async def test_duty_watchdog(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    ended = world.collect(client, DisconnectedEvent)
    world.hub.on_frame = silent
    await world.sleep(59.9)
    assert ended == []
    await world.sleep(1.2)
    assert [(event.code, event.will_reconnect) for event in ended] == [(4000, True)]
    assert world.hub.sessions[0].closed is not None
    assert world.hub.sessions[0].closed[0] == 4000
    await world.sleep(1.0)
    assert client.state is SignallingClientState.CONNECTED


@on_virtual_time
async def test_duty_watchdog_any_frame_counts_control_frames_too(world: World) -> None:
    client = await world.connected()
    world.hub.on_frame = silent
    for _ in range(5):
        await world.sleep(50.0)
        world.hub.last.connection.ping()
    assert client.state is SignallingClientState.CONNECTED
    assert len(world.hub.sessions) == 1


@on_virtual_time
async def test_duty_watchdog_zero_turns_it_and_the_pings_off(world: World) -> None:
    client = await world.connected(inactivity_timeout=0)
    world.hub.on_frame = silent
    await world.sleep(10_000.0)
    assert client.state is SignallingClientState.CONNECTED
    assert world.hub.last.received == []


# -- token provider ------------------------------------------------------------------------------------------


@on_virtual_time
async def test_duty_token_provider_is_called_for_every_attempt(world: World) -> None:
    tokens = iter(["one", "two", "three"])
    client = await world.connected(token_provider=lambda: next(tokens), reconnect=STEADY)
    for _ in range(2):
        world.hub.last.cut()
        await world.sleep(1.5)
    assert client.state is SignallingClientState.CONNECTED
    assert [session.query["token"] for session in world.hub.sessions] == [["one"], ["two"], ["three"]]


@on_virtual_time
@pytest.mark.parametrize("nonsense", ["", None, b"token", 7])
async def test_duty_token_provider_nonsense_is_a_failure(world: World, nonsense: Any) -> None:
    client = world.client(token_provider=lambda: nonsense)
    error = await outcome(client.connect())
    assert isinstance(error, TokenProviderError)
    assert client.state is SignallingClientState.CLOSED
    assert world.hub.sessions == []


@on_virtual_time
async def test_duty_token_provider_a_first_failure_carries_its_cause(world: World) -> None:
    raised = RuntimeError("the mint is closed")

    def provider() -> str:
        raise raised

    client = world.client(token_provider=provider)
    ended = world.collect(client, DisconnectedEvent)
    error = await outcome(client.connect())
    assert isinstance(error, TokenProviderError)
    assert error.__cause__ is raised
    await world.settle()
    assert [(event.code, event.will_reconnect) for event in ended] == [(1006, False)]


@on_virtual_time
async def test_duty_token_provider_takes_ten_seconds_at_most(world: World) -> None:
    async def provider() -> str:
        await world.sleep(1000.0)
        return "late"

    client = world.client(token_provider=provider)
    error = await outcome(client.connect())
    assert isinstance(error, TokenProviderError)
    assert world.now == pytest.approx(10.0, abs=1e-3)


@on_virtual_time
async def test_duty_token_provider_failures_are_retried_once_it_was_connected(world: World) -> None:
    answers: list[str | Exception] = ["good", *[RuntimeError(str(n)) for n in range(1, 6)], "good again"]

    async def provider() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = await world.connected(token_provider=provider, reconnect=STEADY)
    told = world.collect(client, TokenProviderErrorEvent)
    ended = world.collect(client, DisconnectedEvent)
    world.hub.last.cut()
    await world.sleep(7.0)
    assert client.state is SignallingClientState.CONNECTED
    assert [(event.consecutive_failures, str(event.error)) for event in told] == [
        (3, "3"),
        (4, "4"),
        (5, "5"),
    ]
    assert [event.will_reconnect for event in ended] == [True] * 6


# -- replay --------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_duty_replay_in_parallel_with_the_latest_options(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    await client.subscribe("a")
    await client.subscribe("b", include_sender_metadata=True)
    await client.subscribe("a", include_sender_metadata=True)
    await client.subscribe("gone")
    await client.unsubscribe("gone")
    world.hub.on_frame = silent
    world.hub.last.cut()
    await world.sleep(1.5)
    replayed = world.hub.last.of_type("subscribe")
    assert [(frame["channel"], frame.get("includeSenderMetadata", False)) for frame in replayed] == [
        ("a", True),
        ("b", True),
    ]


@on_virtual_time
async def test_duty_replay_a_refused_one_is_retried_three_times_and_stays_tracked(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    await client.subscribe("room")
    errors = world.collect(client, ServerErrorEvent)
    times: list[float] = []

    def refuse(session: Session, frame: Frame) -> None:
        times.append(world.now - session.connected_at)
        session.refuse(frame, "backend_error")

    world.hub.on_frame = only("subscribe", refuse)
    world.hub.last.cut()
    await world.sleep(40.0)
    assert times == pytest.approx([0.0, 2.0, 4.0, 6.0], abs=1e-3)
    assert client.subscriptions == {"room"}
    assert [event.code for event in errors] == ["backend_error"]
    world.hub.on_frame = world.hub.answer
    world.hub.last.cut()
    await world.sleep(2.0)
    assert [frame["channel"] for frame in world.hub.last.of_type("subscribe")] == ["room"]


@on_virtual_time
async def test_duty_replay_an_unanswered_one_is_retried(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    await client.subscribe("room")
    world.hub.on_frame = only("subscribe", silent)
    world.hub.last.cut()
    await world.sleep(200.0)
    assert len(world.hub.last.of_type("subscribe")) == 4
    assert client.subscriptions == {"room"}


@on_virtual_time
async def test_duty_replay_not_without_auto_resubscribe(world: World) -> None:
    client = await world.connected(reconnect=STEADY, auto_resubscribe=False)
    await client.subscribe("room")
    world.hub.last.cut()
    await world.sleep(2.0)
    assert client.state is SignallingClientState.CONNECTED
    assert (world.hub.last.received, client.subscriptions) == ([], frozenset())


# -- tracking ------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_duty_tracking_before_the_frame_is_sent(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    world.hub.on_frame = silent
    subscribing = client.subscribe("room")
    await world.settle()
    assert client.subscriptions == {"room"}
    world.hub.last.cut()
    assert isinstance(await outcome(subscribing), DisconnectedError)
    world.hub.on_frame = world.hub.answer
    await world.sleep(2.0)
    assert [frame["channel"] for frame in world.hub.last.of_type("subscribe")] == ["room"]


@on_virtual_time
async def test_duty_tracking_dropped_when_refused(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    world.hub.on_frame = lambda session, frame: session.refuse(frame, "channel_not_authorized", "not yours")
    error = await outcome(client.subscribe("room"))
    assert isinstance(error, SignallingServerError)
    assert (error.code, error.server_message) == ("channel_not_authorized", "not yours")
    assert client.subscriptions == frozenset()
    world.hub.last.cut()
    await world.sleep(2.0)
    assert world.hub.last.received == []


@on_virtual_time
async def test_duty_tracking_kept_on_an_ack_timeout(world: World) -> None:
    client = await world.connected(inactivity_timeout=0)
    world.hub.on_frame = silent
    assert isinstance(await outcome(client.subscribe("room")), AckTimeoutError)
    assert client.subscriptions == {"room"}


@on_virtual_time
async def test_duty_tracking_unsubscribe_untracks_before_it_sends(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    await client.subscribe("room")
    world.hub.on_frame = silent
    leaving = client.unsubscribe("room")
    await world.settle()
    assert client.subscriptions == frozenset()
    world.hub.last.cut()
    assert isinstance(await outcome(leaving), DisconnectedError)
    await world.sleep(2.0)
    assert world.hub.last.received == []


@on_virtual_time
async def test_duty_tracking_unsubscribe_untracks_though_there_is_no_connection(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    await client.subscribe("room")
    world.hub.last.cut()
    await world.settle()
    assert isinstance(await outcome(client.unsubscribe("room")), NotConnectedError)
    await world.sleep(2.0)
    assert (world.hub.last.received, client.subscriptions) == ([], frozenset())


# -- inbound cap and size check ------------------------------------------------------------------------------


@on_virtual_time
async def test_duty_inbound_cap(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    ended = world.collect(client, DisconnectedEvent)
    world.hub.last.message("room", "x" * (1 << 20))
    await world.sleep(0.5)
    assert [event.code for event in ended] == [1009]


@on_virtual_time
async def test_duty_size_check(world: World) -> None:
    client = await world.connected()
    frame = '{"type":"publish","channel":"room","data":"","requestId":"1"}'
    room = 65_536 - len(frame)
    await client.publish("room", "x" * room)
    for request in (client.publish("room", "x" * (room + 1)), client.send("room", "x" * 65_536)):
        error = await outcome(request)
        assert isinstance(error, OversizedPayloadError)
        assert isinstance(error, ValueError)
        assert error.size > error.cap == 65_536
    assert len(world.hub.last.received) == 1


@on_virtual_time
async def test_duty_size_check_can_be_turned_off(world: World) -> None:
    client = await world.connected(size_check=False)
    await client.publish("room", "x" * 65_500)
    assert len(world.hub.last.received) == 1


# -- close ---------------------------------------------------------------------------------------------------


@on_virtual_time
async def test_duty_close_is_idempotent_and_ends_reconnecting(world: World) -> None:
    client = await world.connected()
    ended = world.collect(client, DisconnectedEvent)
    await client.close(3001, "bye")
    await client.close()
    assert client.state is SignallingClientState.CLOSED
    assert world.hub.last.closed == (3001, "bye")
    await world.sleep(100.0)
    assert [(event.code, event.reason, event.will_reconnect) for event in ended] == [(3001, "bye", False)]
    assert len(world.hub.sessions) == 1


@on_virtual_time
async def test_duty_close_cancels_a_pending_retry_from_inside_a_disconnected_handler(world: World) -> None:
    client = await world.connected(reconnect=ReconnectOptions(initial_delay=0.0))

    @client.on(DisconnectedEvent)
    async def give_up(event: DisconnectedEvent) -> None:
        if event.will_reconnect:
            await client.close()

    world.hub.last.cut()
    await world.sleep(100.0)
    assert client.state is SignallingClientState.CLOSED


@on_virtual_time
async def test_duty_close_waits_a_second_at_most(world: World) -> None:
    client = await world.connected()
    world.hub.last.connection.deaf = True
    before = world.now
    await client.close()
    assert world.now - before == pytest.approx(1.0, abs=0.01)


@on_virtual_time
async def test_duty_close_fails_an_in_flight_connect(world: World) -> None:
    world.hub.on_open = silent
    client = world.client()
    ended = world.collect(client, DisconnectedEvent)
    connecting = client.connect()
    await world.sleep(1.0)
    await client.close()
    error = await outcome(connecting)
    assert isinstance(error, SignallingConnectError)
    assert error.close_code == 1000
    await world.settle()
    assert [event.will_reconnect for event in ended] == [False]


@on_virtual_time
async def test_duty_close_fails_a_connect_that_waits_for_a_token(world: World) -> None:
    async def provider() -> str:
        await world.sleep(5.0)
        return "late"

    client = world.client(token_provider=provider)
    ended = world.collect(client, DisconnectedEvent)
    connecting = client.connect()
    await world.sleep(1.0)
    await client.close()
    assert isinstance(await outcome(connecting), SignallingConnectError)
    await world.sleep(10.0)
    assert (len(world.hub.sessions), [event.will_reconnect for event in ended]) == (0, [False])


@on_virtual_time
async def test_duty_close_at_once_leaves_no_provider_behind_that_never_began(world: World) -> None:
    calls: list[float] = []

    async def provider() -> str:
        calls.append(world.now)
        return "token"

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = world.client(token_provider=provider)
        connecting, closing = client.connect(), client.close()
        await closing
        assert isinstance(await outcome(connecting), SignallingConnectError)
        await world.settle()
        gc.collect()
    assert (calls, [str(warning.message) for warning in caught]) == ([], [])


# -- hostile server ------------------------------------------------------------------------------------------


@on_virtual_time
async def test_duty_hostile_server_text_stays_in_fields(world: World) -> None:
    hostile = "\x1b[31mDROP TABLE\r\n" + "%s" * 20
    client = await world.connected()
    world.hub.on_frame = lambda session, frame: session.refuse(frame, "backend_error", hostile)
    error = await outcome(client.publish("room", 1))
    assert isinstance(error, SignallingServerError)
    assert error.server_message == hostile
    assert hostile not in str(error)
    assert "DROP" not in repr(error)
    await client.close()
    world.hub.on_open = lambda session: session.close(4001, hostile[:40])
    error = await outcome(client.connect())
    assert isinstance(error, SignallingConnectError)
    assert error.reason == hostile[:40]
    assert "DROP" not in str(error) + repr(error)


# -- backoff (section 5) -------------------------------------------------------------------------------------


@on_virtual_time
@pytest.mark.parametrize("code", [4001, 4003, 4012, 4020])
async def test_close_codes_that_forbid_a_retry(world: World, code: int) -> None:
    client = await world.connected()
    ended = world.collect(client, DisconnectedEvent)
    world.hub.last.close(code)
    await world.sleep(200.0)
    assert client.state is SignallingClientState.CLOSED
    assert len(world.hub.sessions) == 1
    assert [(event.code, event.will_reconnect) for event in ended] == [(code, False)]


@on_virtual_time
@pytest.mark.parametrize("code", [1000, 1001, 1008, 1009, 1011, 1013, 4000, 4002, 4011, 4999])
async def test_close_codes_that_back_off(world: World, code: int) -> None:
    client = await world.connected(reconnect=STEADY)
    world.hub.last.close(code)
    await world.sleep(0.9)
    assert client.state is SignallingClientState.RECONNECTING
    await world.sleep(0.2)
    assert client.state is SignallingClientState.CONNECTED


@on_virtual_time
async def test_4010_waits_thirty_seconds_and_only_once(world: World) -> None:
    client = await world.connected(reconnect=STEADY)
    world.hub.on_open = lambda session: session.close(1013)
    world.hub.last.close(CloseCode.OVER_CONCURRENT_LIMIT)
    await world.sleep(29.9)
    assert len(world.hub.sessions) == 1
    await world.sleep(2.0)
    assert len(world.hub.sessions) == 3
    assert client.state is SignallingClientState.RECONNECTING


@on_virtual_time
async def test_a_welcome_resets_the_attempts(world: World) -> None:
    client = await world.connected(reconnect=ReconnectOptions(initial_delay=1.0, jitter_ratio=0.0))
    connected = world.collect(client, ConnectedEvent)
    for _ in range(5):
        world.hub.last.cut()
        await world.sleep(1.1)
    assert len(connected) == 5
    assert all(event.is_reconnect for event in connected)


@on_virtual_time
async def test_no_reconnect_without_auto_reconnect(world: World) -> None:
    client = await world.connected(auto_reconnect=False)
    ended = world.collect(client, DisconnectedEvent)
    world.hub.last.cut()
    await world.sleep(100.0)
    assert [event.will_reconnect for event in ended] == [False]
    assert client.state is SignallingClientState.CLOSED
