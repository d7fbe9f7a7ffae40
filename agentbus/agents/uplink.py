"""The way to the hub: a `SignallingClient` that never gives up, and what its credential permits.

The client reports the end of every attempt; what it does not retry by itself (the first connect, a token
provider that fails at the start) is retried here, without limit, with the client's own backoff. Only a close
code whose rule is *no retry* ends it.

At the first connection a probe finds out what the credential permits: it subscribes to the directory
channel, sends itself a message, and publishes where nobody listens. The echo of the message also tells how
the hub stamps us.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from agentbus.agents.address import directory_channel, inbox_channel
from agentbus.agents.permissions import Grants, is_refusal
from agentbus.client import ConnectedEvent, DisconnectedEvent, PresenceEvent
from agentbus.errors import SignallingError
from agentbus.protocol.backoff import ReconnectOptions, retry_delay
from agentbus.runtime import EventSource, Future, Subscription

RECONNECT = ReconnectOptions(initial_delay=0.5, multiplier=2.0, max_delay=5.0, max_attempts=1 << 30)
"""Twenty seconds make a silent node dead, so a living one comes back within a few."""

SNAPSHOT_TIMEOUT = 1.0
"""The hub sends the roster right after the ack; after so many seconds there is no `presence` permission."""


class Client(Protocol):
    """What is needed of a `SignallingClient`."""

    on_connected: Any
    on_disconnected: Any
    on_message: Any
    on_direct: Any
    on_presence: Any

    @property
    def subscriptions(self) -> frozenset[str]:
        """The channels that it keeps subscribed."""
        ...

    def connect(self) -> Future[ConnectedEvent]:
        """Begin to connect."""
        ...

    def dispose(self) -> Future[None]:
        """End."""
        ...

    def subscribe(
        self, channel: str, *, include_sender_metadata: bool = False, recover: bool = True
    ) -> Future[None]:
        """Subscribe."""
        ...

    def unsubscribe(self, channel: str) -> Future[None]:
        """Unsubscribe."""
        ...

    def publish(self, channel: str, data: Any) -> Future[None]:
        """Publish."""
        ...

    def send(self, to_peer_id: str, data: Any) -> Future[None]:
        """Send."""
        ...

    def post(self, to_peer_id: str, data: Any) -> None:
        """Send without an ack."""
        ...


class Echo(msgspec.Struct, frozen=True, tag_field="agentbus", tag="echo/1"):
    """What the probe sends to itself, and publishes where nobody listens."""


class Relay(msgspec.Struct, frozen=True, tag_field="agentbus", tag="relay/1"):
    """A message for one peer on the directory channel, where the credential lacks `send`.

    Attributes:
        peer: for whom it is; the others ignore it.
        data: the message.
    """

    peer: str
    data: msgspec.Raw


_ECHO = msgspec.Raw(msgspec.json.encode(Echo()))


class Arrival(msgspec.Struct, frozen=True):
    """A connection is ready for use.

    Attributes:
        event: the welcome.
        grants: what the credential permits.
        roster: the other peers on the directory channel; None if it shows no presence.
        metadata: how the hub stamps us; None if it is unknown.
    """

    event: ConnectedEvent
    grants: Grants
    roster: tuple[str, ...] | None
    metadata: Any


class Uplink:
    """One client and the channels that every node uses. Lives on the I/O loop.

    Args:
        client: not connected yet.
        namespace: see agents.md.
        node: this node's id.
        random: draws the jitter.
        grants: what the credential permits where that is known; None to probe.
    """

    def __init__(
        self, client: Client, namespace: str, node: str, random: Any, grants: Grants | None = None
    ) -> None:
        self.client = client
        self.grants = grants
        self.directory = directory_channel(namespace)
        self._namespace = namespace
        self._inbox = inbox_channel(namespace, node)
        self._random = random
        self._attempts = 0
        self._metadata: Any = None
        self._present: set[str] = set()
        self._snapshot: Future[None] | None = None
        self._echoed = asyncio.Event()
        self._peer = ""
        self._subscriptions: list[Subscription] = []

    # -- the client's events ---------------------------------------------------------------------------------

    def follow(self, tell: Callable[[Any], object]) -> None:
        """Give every event of the client to `tell`, on the I/O loop, in order."""
        client = self.client
        sources: Iterable[EventSource[Any]] = (
            client.on_connected,
            client.on_disconnected,
            client.on_message,
            client.on_direct,
            client.on_presence,
        )
        self._subscriptions = [source.attach(tell) for source in sources]

    def connect(self) -> None:
        """Begin an attempt; its end is an event."""
        self.client.connect().quiet()

    def retry_in(self, event: DisconnectedEvent) -> float | None:
        """Give the seconds until `connect` should be called again; None if the code says never."""
        self._attempts += 1
        return retry_delay(RECONNECT, self._attempts, event.code, self._random)

    async def close(self) -> None:
        """End the connection and the client."""
        for subscription in self._subscriptions:
            subscription.cancel()
        await self.client.dispose()

    # -- a new connection ------------------------------------------------------------------------------------

    async def arrive(self, event: ConnectedEvent) -> Arrival:
        """Make a new connection ready: subscribe, and probe if that is still to be done.

        Raises:
            MissingPermission: the credential does not permit what a bus needs.
            SignallingError: the connection ended meanwhile; the next one begins anew.
        """
        self._attempts = 0
        self._peer = event.peer_id
        self._snapshot = Future()
        subscribed = await _permitted(self._join(self.directory))
        inbox = await _permitted(self._join(self._inbox))
        known = self.grants
        if known is None:
            known = Grants(
                subscribe=subscribed,
                publish=await _permitted(self.client.publish(self._inbox, _ECHO)),
                send=await self._echo(),
                presence=True,
                inbox=inbox,
            )
        presence = subscribed and known.presence and await self._shown(self._snapshot)
        self._snapshot = None
        self.grants = msgspec.structs.replace(known, presence=presence)
        self.grants.check()
        return Arrival(event, self.grants, tuple(sorted(self._present)) if presence else None, self._metadata)

    def _join(self, channel: str) -> Future[None]:
        # nodes make good by themselves what they missed: the links resend, the directory is asked for again
        return self.client.subscribe(channel, include_sender_metadata=True, recover=False)

    async def _echo(self) -> bool:
        self._echoed.clear()
        if not await _permitted(self.client.send(self._peer, _ECHO)):
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SNAPSHOT_TIMEOUT):
                await self._echoed.wait()
        return True

    @staticmethod
    async def _shown(snapshot: Future[None]) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SNAPSHOT_TIMEOUT):
                await snapshot
                return True
        return False

    def heard_presence(self, event: PresenceEvent) -> bool:
        """Keep the directory channel's roster until the connection is ready; tell whether it is not yet."""
        if self._snapshot is None:
            return False
        joined = {peer.peer_id for peer in event.joined}
        if event.is_snapshot:
            self._present = joined
            self._snapshot.try_set(None)
        else:
            self._present = (self._present | joined) - {peer.peer_id for peer in event.left}
        return True

    def heard_echo(self, sender: str, metadata: Any) -> None:
        """Take the probe's own message: it shows how the hub stamps us."""
        if sender == self._peer:
            self._metadata = metadata
            self._echoed.set()

    # -- frames ----------------------------------------------------------------------------------------------

    def send(self, peer: str, node: str | None, data: bytes) -> Future[None]:
        """Send to one peer; without the `send` permission, to its node's inbox channel."""
        raw = msgspec.Raw(data)
        if self.grants is not None and self.grants.send:
            return self.client.send(peer, raw)
        if node is None:
            return self.client.publish(self.directory, Relay(peer, raw))
        return self.client.publish(inbox_channel(self._namespace, node), raw)

    def post(self, peer: str, node: str, data: bytes) -> None:
        """Send to one peer without an ack; without the `send` permission, as `send` does."""
        if self.grants is not None and self.grants.send:
            self.client.post(peer, msgspec.Raw(data))
        else:
            self.send(peer, node, data).quiet()

    def spread(self, data: bytes) -> Future[None]:
        """Send to every node of the namespace."""
        return self.client.publish(self.directory, msgspec.Raw(data))

    def is_for_nodes(self, channel: str) -> bool:
        """Whether it is the directory or the inbox channel."""
        return channel in {self.directory, self._inbox}


async def _permitted(request: Future[None]) -> bool:
    try:
        await request.quiet()  # the task that awaits it may be cancelled: the next connection begins anew
    except SignallingError as error:
        if is_refusal(error):
            return False
        raise
    return True
