"""Scenarios that the official Python SDK plays against our hub; run by the interop tests in the SDK's own environment.

Usage: scenarios.py NAME, with a JSON object on standard input: url, key, tokens (name → JWT). A scenario that ends
without an assertion error has passed. "ready" on standard output asks the test to do its part.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import metered_realtime as sdk

WITHIN = 5.0
HUB: dict[str, Any] = {}


def by_key(**options: Any) -> sdk.SignallingClient:
    return sdk.SignallingClient(api_key=HUB["key"], url=HUB["url"], **options)


def by_token(name: str, **options: Any) -> sdk.SignallingClient:
    async def provide() -> str:
        return HUB["tokens"][name]

    return sdk.SignallingClient(token_provider=provide, url=HUB["url"], **options)


class Seen:
    """Every event of some types, in order, to be waited for."""

    def __init__(self, client: sdk.SignallingClient, *types: type) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        for kind in types:
            client.on(kind, self.queue.put_nowait)

    async def next(self) -> Any:
        return await asyncio.wait_for(self.queue.get(), WITHIN)

    async def until(self, wanted: Any) -> Any:
        while not wanted(event := await self.next()):
            pass
        return event


async def refused(awaitable: Any, code: str) -> None:
    try:
        await awaitable
    except sdk.ServerRequestError as error:
        assert error.code == code, error.code
    else:
        raise AssertionError(f"was not refused with {code}")


async def connect_and_close() -> None:
    client = by_key()
    connected, states, gone = (
        Seen(client, sdk.Connected),
        Seen(client, sdk.StateChange),
        Seen(client, sdk.Disconnected),
    )
    await client.connect()
    event = await connected.next()
    assert event.peer_id and not event.is_reconnect and event.expires_at is None, event
    assert event.max_message_size == 65536, event
    assert client.state == "connected"
    await client.close()
    assert client.state == "closed"
    assert (await states.next()).to == "connecting"
    assert (await states.next()).to == "connected"
    assert (await states.next()).to == "closed"


async def token_names_the_peer() -> None:
    client = by_token("alice")
    connected = Seen(client, sdk.Connected)
    async with client:
        event = await connected.next()
        assert event.peer_id == "alice" and event.expires_at is not None, event
        assert event.ice_servers is not None and event.ice_servers[0].urls, event


async def bad_credentials() -> None:
    for client in (
        sdk.SignallingClient(api_key="pk_live_unknown", url=HUB["url"]),
        by_token("forged"),
    ):
        try:
            await client.connect()
        except sdk.SignallingConnectError as error:
            assert error.close_code == sdk.WsCloseCode.INVALID_TOKEN, error
        else:
            raise AssertionError("was let in")


async def expired_token() -> None:
    client = by_token("expired", reconnect=False)
    try:
        await client.connect()
    except sdk.SignallingConnectError as error:
        assert error.close_code == 4002, error
    else:
        raise AssertionError("was let in")


async def publish_and_subscribe() -> None:
    async with by_key() as publisher, by_key() as subscriber:
        messages, own = Seen(subscriber, sdk.Message), Seen(publisher, sdk.Message)
        await subscriber.subscribe("rooms/a")
        await publisher.subscribe("rooms/a")
        values = [{"text": "hällo", "n": [1, 2.5, None, True]}, "text", 7, None, [], {}, "", False]
        for value in values:
            await publisher.publish("rooms/a", value)
        for value in values:
            event = await messages.next()
            assert event.channel == "rooms/a" and event.data == value and event.sender_metadata is None, event
        await subscriber.unsubscribe("rooms/a")
        await subscriber.unsubscribe("rooms/a")
        await publisher.publish("rooms/a", "nobody hears this")
        await subscriber.subscribe("rooms/b")
        await publisher.publish("rooms/b", "last")
        assert (await messages.next()).data == "last"
        assert own.queue.empty()


async def sender_metadata() -> None:
    async with by_token("alice") as alice, by_token("bob") as bob:
        messages, directs = Seen(bob, sdk.Message), Seen(bob, sdk.Direct)
        await bob.subscribe("rooms/meta", sdk.SubscribeOptions(include_sender_metadata=True))
        await alice.publish("rooms/meta", 1)
        event = await messages.next()
        assert event.sender_peer_id == "alice" and event.sender_metadata == {"name": "Alice"}, event
        await alice.send("bob", {"to": "you"})
        direct = await directs.next()
        assert direct.sender_peer_id == "alice" and direct.sender_metadata == {"name": "Alice"}, direct
        assert direct.data == {"to": "you"}, direct


async def direct_messages() -> None:
    async with by_token("alice") as alice, by_key() as other:
        directs = Seen(alice, sdk.Direct)
        await alice.send("alice", "to myself")
        assert (await directs.next()).data == "to myself"
        await other.send("alice", None)
        assert (await directs.next()).data is None
        await refused(other.send("nobody-of-that-name", 1), "peer_not_found")


async def presence() -> None:
    async with by_token("alice") as alice:
        roster = Seen(alice, sdk.Presence)
        await alice.subscribe("rooms/presence")
        first = await roster.next()
        assert first.joined == () and first.left == (), first
        async with by_token("bob") as bob:
            seen_by_bob = Seen(bob, sdk.Presence)
            await bob.subscribe("rooms/presence")
            snapshot = await seen_by_bob.next()
            assert [(p.peer_id, p.metadata) for p in snapshot.joined] == [("alice", {"name": "Alice"})], (
                snapshot
            )
            joined = await roster.next()
            assert [p.peer_id for p in joined.joined] == ["bob"], joined
        left = await roster.next()
        assert [p.peer_id for p in left.left] == ["bob"], left


async def event_streams_and_once() -> None:
    async with by_key() as publisher, by_key() as subscriber:
        await subscriber.subscribe("rooms/stream")
        once = []
        subscriber.once(sdk.Message, once.append)
        async with subscriber.events(sdk.Message) as stream:
            await publisher.publish("rooms/stream", 1)
            await publisher.publish("rooms/stream", 2)
            assert [(await asyncio.wait_for(anext(stream), WITHIN)).data for _ in range(2)] == [1, 2]
        assert [event.data for event in once] == [1]
        heard: list[Any] = []
        handler = subscriber.on(sdk.Message, heard.append)
        subscriber.off(sdk.Message, handler)
        await publisher.publish("rooms/stream", 3)
        assert heard == []


async def error_codes() -> None:
    async with by_key() as client, by_token("reader") as reader:
        await refused(client.subscribe("private/x"), "channel_not_authorized")
        await refused(client.publish("_metered/x", 1), "channel_reserved")
        await refused(reader.publish("rooms/a", 1), "action_not_permitted")
        await refused(reader.send("alice", 1), "action_not_permitted")
        for number in range(100):
            await client.subscribe(f"rooms/many-{number}")
        await refused(client.subscribe("rooms/one-too-many"), "channel_limit_exceeded")
        assert client.state == "connected"


async def too_big() -> None:
    async with by_key() as client:
        gone = Seen(client, sdk.Disconnected)
        try:
            await client.publish("rooms/a", "x" * 70_000)
        except (sdk.DisconnectedError, sdk.NotConnectedError):
            pass
        else:
            raise AssertionError("was accepted")
        event = await gone.next()
        assert event.code == 1009 and event.will_reconnect, event


async def uncorrelated_error() -> None:
    async with by_key() as client:
        errors = Seen(client, sdk.ServerError)
        await client._ws.send("this is no JSON")
        assert (await errors.next()).code == "malformed_message"
        await client._ws.send('{"type":"no-such-type"}')
        assert client.state == "connected"


async def keepalive() -> None:
    async with by_key(inactivity_timeout=3.0) as client:
        gone = Seen(client, sdk.Disconnected)
        try:
            lost = await asyncio.wait_for(gone.queue.get(), 4.5)
        except asyncio.TimeoutError:
            assert client.state == "connected"
        else:
            raise AssertionError(f"the hub or the watchdog cut a quiet connection: {lost}")


async def reconnects_and_resubscribes() -> None:
    """The hub's other half: close with 4002 when the token expires; the SDK comes back with the fresh one."""
    tokens = ["short", "alice"]

    async def provide() -> str:
        return HUB["tokens"][tokens.pop(0) if len(tokens) > 1 else tokens[0]]

    client = sdk.SignallingClient(
        token_provider=provide, url=HUB["url"], reconnect=sdk.ReconnectOptions(initial_delay=0.05)
    )
    connected, gone, messages = (
        Seen(client, sdk.Connected),
        Seen(client, sdk.Disconnected),
        Seen(client, sdk.Message),
    )
    async with client, by_key() as publisher:
        assert not (await connected.next()).is_reconnect
        await client.subscribe("rooms/again")
        event = await gone.next()
        assert event.code == 4002 and event.will_reconnect, event
        assert (await connected.next()).is_reconnect
        for _ in range(50):
            await publisher.publish("rooms/again", "back")
            try:
                event = await asyncio.wait_for(messages.queue.get(), 0.1)
            except asyncio.TimeoutError:
                continue
            assert event.data == "back"
            return
        raise AssertionError("the subscription was not replayed")


async def provider_failures() -> None:
    calls = 0

    async def provide() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            return HUB["tokens"]["short"]
        raise RuntimeError("no token today")

    client = sdk.SignallingClient(
        token_provider=provide,
        url=HUB["url"],
        reconnect=sdk.ReconnectOptions(initial_delay=0.02, max_delay=0.02),
    )
    failures = Seen(client, sdk.TokenProviderError)
    async with client:
        assert (await failures.next()).consecutive_failures == 3


async def going_away() -> None:
    async with by_key() as client:
        away, gone = Seen(client, sdk.GoingAway), Seen(client, sdk.Disconnected)
        print("ready", flush=True)
        assert (await away.next()).retry_after_ms > 0
        event = await gone.next()
        assert event.code == 1001 and event.will_reconnect, event


async def metered_peers() -> None:
    """The higher-level class: join, see one another, broadcast and send."""
    a = sdk.MeteredPeer(token_provider=_provider("alice"), url=HUB["url"])
    b = sdk.MeteredPeer(token_provider=_provider("bob"), url=HUB["url"])
    joined, data = Seen(a, sdk.PeerJoined), Seen(b, sdk.Data)
    await a.join("rooms/peers")
    await b.join("rooms/peers")
    assert (await joined.next()).peer.id == "bob"
    await a.send({"hello": "all"})
    assert (await data.next()).data == {"hello": "all"}
    await a.send_to("bob", {"hello": "bob"})
    event = await data.next()
    assert event.kind == "direct" and event.data == {"hello": "bob"}, event
    await a.close()
    await b.close()


def _provider(name: str) -> Any:
    async def provide() -> str:
        return HUB["tokens"][name]

    return provide


def main() -> None:
    HUB.update(json.load(sys.stdin))
    asyncio.run(asyncio.wait_for(globals()[sys.argv[1]](), 40))


if __name__ == "__main__":
    main()
