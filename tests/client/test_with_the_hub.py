"""The client and our own hub, who meet on the wire only: in memory on virtual time, on a port with tokens."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agentbus.client import (
    ChannelMessage,
    DirectMessage,
    DisconnectedEvent,
    ErrorCode,
    GoingAwayEvent,
    PresenceEvent,
    ReconnectOptions,
    SignallingClient,
    SignallingClientState,
)
from agentbus.errors import DisconnectedError, SignallingConnectError, SignallingServerError
from agentbus.hub.core import AppConfig, HubConfig, Limits, PublishableKey
from agentbus.hub.server.embedded import EmbeddedHub
from agentbus.hub.server.presets import DEV_SECRET, DEV_SECRET_ID, dev_config
from agentbus.hub.server.server import HubServer, Listen
from agentbus.hub.server.tokens import mint
from agentbus.runtime import Runtime, VirtualLoop, virtual_sleep
from agentbus.wire.client import ClientOptions
from tests.client.world import outcome

KEY = "pk_live_test"
QUICK = ReconnectOptions(initial_delay=0.05, multiplier=1.0, jitter_ratio=0.0)


class Meeting:
    """An embedded hub and its clients on one virtual loop."""

    def __init__(self, loop: VirtualLoop, **limits: int) -> None:
        self.runtime = Runtime(loop=loop, random=random.Random(1), inline_callbacks=True)
        key = PublishableKey(key=KEY, channel_patterns=("rooms/**",))
        rates = {"messages_per_second": 0, "connects_per_minute_per_address": 0} | limits
        config = HubConfig(apps=(AppConfig(id="test", publishable_keys=(key,)),), limits=Limits(**rates))
        ids = (f"peer-{number}" for number in itertools.count(1))
        masks = ClientOptions(mask_keys=lambda: lambda: b"\0\0\0\0")
        self.hub = EmbeddedHub(config, loop=self.runtime.io, new_id=ids.__next__, client_options=masks)

    def client(self, **fields: Any) -> SignallingClient:
        fields = {"api_key": KEY, "url": "ws://localhost", "transport_factory": self.hub.dial} | fields
        return SignallingClient(runtime=self.runtime, **fields)


def meet(scene: Callable[[Meeting], Any], **limits: int) -> None:
    with VirtualLoop() as loop:
        meeting = Meeting(loop, **limits)
        loop.run_until_complete(scene(meeting))
        loop.run_until_complete(meeting.runtime.aclose())
        loop.run_until_complete(meeting.hub.stop())


# -- in memory -----------------------------------------------------------------------------------------------


def test_publish_send_and_presence() -> None:
    async def scene(meeting: Meeting) -> None:
        async with meeting.client() as ann, meeting.client() as bob:
            heard, direct = bob.events(ChannelMessage), bob.events(DirectMessage)
            presence = ann.events(PresenceEvent)
            await ann.subscribe("rooms/1")
            await bob.subscribe("rooms/1")
            await ann.publish("rooms/1", {"n": 1})
            message = await anext(heard)
            assert (message.channel, message.sender, message.data) == ("rooms/1", ann.peer_id, {"n": 1})
            assert ann.peer_id is not None
            await ann.send(str(bob.peer_id), "psst")
            whisper = await anext(direct)
            assert (whisper.sender, whisper.data) == (ann.peer_id, "psst")
            snapshot, joined = await anext(presence), await anext(presence)
            assert (snapshot.is_snapshot, snapshot.joined) == (True, ())
            assert (joined.is_snapshot, [peer.peer_id for peer in joined.joined]) == (False, [bob.peer_id])
            assert [peer.peer_id for peer in bob.roster("rooms/1")] == [ann.peer_id]
            gone = bob.peer_id
            await bob.unsubscribe("rooms/1")
            assert [peer.peer_id for peer in (await anext(presence)).left] == [gone]
            assert ann.roster("rooms/1") == ()

    meet(scene)


def test_what_the_hub_refuses() -> None:
    async def scene(meeting: Meeting) -> None:
        async with meeting.client() as client:
            refused = {
                ErrorCode.CHANNEL_NOT_AUTHORIZED: client.subscribe("elsewhere"),
                ErrorCode.CHANNEL_RESERVED: client.publish("_system/x", 1),
                ErrorCode.PEER_NOT_FOUND: client.send("nobody", 1),
            }
            for code, request in refused.items():
                error = await outcome(request)
                assert isinstance(error, SignallingServerError)
                assert error.code == code
            assert client.subscriptions == frozenset()
            assert client.state is SignallingClientState.CONNECTED

    meet(scene)


def test_a_publisher_over_the_rate_backs_off_and_comes_back() -> None:
    async def scene(meeting: Meeting) -> None:
        async with meeting.client(reconnect=QUICK) as client:
            ended = client.events(DisconnectedEvent)
            results = [client.publish("rooms/1", n) for n in range(50)]
            assert (await anext(ended)).code == 4011
            errors = [await outcome(result) for result in results]
            assert None in errors
            assert isinstance(errors[-1], DisconnectedError)
            await client.connect()

    meet(scene, messages_per_second=10, message_burst=20)


def test_a_hub_that_shuts_down() -> None:
    async def scene(meeting: Meeting) -> None:
        client = meeting.client(reconnect=ReconnectOptions(max_attempts=2))
        away, ended = client.events(GoingAwayEvent), client.events(DisconnectedEvent)
        await client.connect()
        await meeting.hub.stop()
        assert (await anext(away)).retry_after > 0
        codes = [((await anext(ended)).code, client.state)[0] for _ in range(3)]
        assert codes == [1001, 1006, 1006]
        await virtual_sleep(100.0)
        assert client.state is SignallingClientState.CLOSED

    meet(scene)


def test_silence_is_bridged_by_pings_of_both_sides() -> None:
    async def scene(meeting: Meeting) -> None:
        async with meeting.client(inactivity_timeout=30.0) as client:
            await virtual_sleep(600.0)
            assert client.state is SignallingClientState.CONNECTED
            assert client.statistics().connects == 1

    meet(scene)


# -- on a port, with tokens ----------------------------------------------------------------------------------


class Served:
    """Our hub on a port, and clients with tokens."""

    def __init__(self) -> None:
        self.runtime = Runtime()
        ids = (f"peer-{number}" for number in itertools.count(1))
        self.server = HubServer(dev_config(), Listen(port=0), loop=self.runtime.io, new_id=ids.__next__)
        self.runtime.io.run(self.server.start()).get(10)

    def stop(self) -> None:
        self.runtime.io.run(self.server.stop(0.1)).get(10)
        assert self.runtime.close(10)

    def token(self, peer: str, *, lifetime: float = 60.0, **claims: Any) -> str:
        now = self.runtime.clock.wall()
        return mint(DEV_SECRET_ID, DEV_SECRET, subject=peer, issued_at=now, lifetime=lifetime, **claims)

    def client(self, provider: Callable[[], str], **fields: Any) -> SignallingClient:
        return SignallingClient(
            token_provider=provider, url=self.server.url, runtime=self.runtime, reconnect=QUICK, **fields
        )


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.stop()


def test_claims_reach_the_events(served: Served) -> None:
    ice = {"iceServers": [{"urls": "turn:turn.example", "username": "u", "credential": "c"}]}
    ann = served.client(lambda: served.token("ann", peer_metadata={"name": "Ann"}, metadata=ice))
    bob = served.client(lambda: served.token("bob"))
    with bob:
        heard, presence = bob.events(ChannelMessage), bob.events(PresenceEvent)
        bob.subscribe("room", include_sender_metadata=True).get(10)
        welcome = ann.connect().get(10)
        assert (welcome.peer_id, welcome.is_reconnect) == ("ann", False)
        assert welcome.expires_at is not None
        assert welcome.ice_servers is not None
        assert welcome.ice_servers[0].credential == "c"
        ann.subscribe("room").get(10)
        ann.publish("room", 1).get(10)
        assert heard.get(10).sender_metadata == {"name": "Ann"}
        assert [presence.get(10).joined for _ in range(2)][1][0].metadata == {"name": "Ann"}
        ann.dispose().get(10)


def test_an_expired_token_is_replaced_by_a_fresh_one(served: Served) -> None:
    now = served.runtime.clock.wall()
    soon = math.ceil(now + 0.6) - now  # `exp` is in whole seconds, and the hub closes a quarter before it
    lifetimes = iter([soon + 0.01, 60.0])
    with served.client(lambda: served.token("ann", lifetime=next(lifetimes))) as client:
        ended = client.events(DisconnectedEvent)
        event = ended.get(10)
        assert (event.code, event.will_reconnect) == (4002, True)
        assert client.connect().get(10).is_reconnect


def test_a_forged_token_is_not_tried_again(served: Served) -> None:
    client = served.client(lambda: served.token("ann")[:-3] + "xyz")
    with pytest.raises(SignallingConnectError) as caught:
        client.connect().get(10)
    assert caught.value.close_code == 4001
    assert "valid" in str(caught.value)
    client.dispose().get(10)
