"""A hub with histories and clients that are cut off from it, on one virtual loop."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from agentbus.client import ChannelMessage, DirectMessage, MessagesMissed, ReconnectOptions, SignallingClient
from agentbus.client.payloads import Event
from agentbus.hub.core import (
    AppConfig,
    Claims,
    HistoryRule,
    HubConfig,
    Limits,
    Mailboxes,
    PublishableKey,
    SecretKey,
)
from agentbus.runtime import Runtime, VirtualLoop, virtual_sleep
from agentbus.testing.hub import TEST_KEY, MemoryHub
from agentbus.testing.network import MemoryNetwork

QUICK = ReconnectOptions(initial_delay=0.05, multiplier=1.0, jitter_ratio=0.0, max_attempts=10_000)


def hub_config(*rules: HistoryRule, extensions: tuple[str, ...] | None = None, **limits: Any) -> HubConfig:
    """Configure a hub whose rooms have a history, unless other rules are given."""
    keys = (PublishableKey(key=TEST_KEY, channel_patterns=("**",)),)
    rated = {"messages_per_second": 0, "connects_per_minute_per_address": 0} | limits
    config = HubConfig(
        apps=(AppConfig(id="test", publishable_keys=keys, history=rules),), limits=Limits(**rated)
    )
    if extensions is None:
        return config
    return HubConfig(apps=config.apps, limits=config.limits, extensions=extensions)


def with_mailboxes(**limits: Any) -> HubConfig:
    """Configure a hub with mailboxes; the token of a peer is its name."""
    secret = SecretKey(id="sk_id_test", secret="sk_secret_test")
    keys = (PublishableKey(key=TEST_KEY, channel_patterns=("**",)),)
    app = AppConfig(id="test", publishable_keys=keys, secret_keys=(secret,), mailboxes=Mailboxes(**limits))
    return HubConfig(apps=(app,))


def _named(token: str) -> Claims:
    return Claims(key_id="sk_id_test", subject=token, expires_at=4e9)


ROOMS = hub_config(HistoryRule(pattern="rooms/**"))


class Gathering:
    """A hub, a network with faults, and the clients that a test makes."""

    def __init__(self, loop: VirtualLoop, seed: int, config: HubConfig) -> None:
        self.loop = loop
        self.random = Random(seed)
        self.runtime = Runtime(loop=loop, random=Random(seed), inline_callbacks=True)
        self.network = MemoryNetwork(loop, Random(seed))
        self.config = config
        self.hub = MemoryHub(self.network, self.runtime, config, verify=_named)
        self.clients: list[SignallingClient] = []

    async def join(self, name: str, **fields: Any) -> SignallingClient:
        """Connect a client, which faults know by its name."""
        fields = {"api_key": TEST_KEY, "reconnect": QUICK} | fields
        client = SignallingClient(
            runtime=self.runtime,
            url="ws://localhost",
            transport_factory=self.network.dialler(name),
            **fields,
        )
        self.clients.append(client)
        await client.connect()
        return client

    async def restart_hub(self) -> None:
        """Stop the hub, and start one that knows nothing of it."""
        await self.hub.stop()
        self.hub = MemoryHub(self.network, self.runtime, self.config, verify=_named)

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await virtual_sleep(seconds)


def gather(config: HubConfig = ROOMS, seed: int = 1) -> Callable[..., Callable[[], None]]:
    """Run an async test, whose argument is a `Gathering`, on its loop."""

    def decorate(test: Callable[[Gathering], Coroutine[Any, Any, None]]) -> Callable[[], None]:
        @functools.wraps(test)
        def run() -> None:
            with VirtualLoop() as loop:
                gathering = Gathering(loop, seed, config)
                loop.run_until_complete(test(gathering))
                for client in gathering.clients:
                    loop.run_until_complete(_done(client))
                loop.run_until_complete(gathering.hub.stop())

        del run.__wrapped__  # type: ignore[attr-defined]  # pytest would look for its argument
        return run

    return decorate


async def _done(client: SignallingClient) -> None:
    await client.dispose()


def heard(client: SignallingClient) -> list[Any]:
    """Collect what a client hears: the data of messages, and what it says of those that were missed."""
    kept: list[Any] = []

    def keep(event: Event) -> None:
        kept.append(event.data if isinstance(event, ChannelMessage | DirectMessage) else event)

    for kind in (ChannelMessage, DirectMessage, MessagesMissed):
        client.on(kind)(keep)
    return kept
