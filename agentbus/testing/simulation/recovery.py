"""Clients that are cut off again and again while somebody publishes: is anything lost, doubled, out of order?

    run = play_recovery(RecoveryPlan(seed=7, cuts=1000))
    assert run.problems() == []

One publisher sends numbers with `retry=True`; listeners recover. Connections break at random bytes, in both
directions, on virtual time: the same plan gives the same run.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, TypeAlias

from msgspec import Struct

from agentbus.client import ChannelMessage, MessagesMissed, SignallingClient
from agentbus.errors import AgentBusError
from agentbus.hub.core import AppConfig, HistoryRule, HubConfig, Limits, PublishableKey
from agentbus.protocol import ReconnectOptions
from agentbus.runtime import Future, Runtime, VirtualLoop, virtual_sleep
from agentbus.testing.faults import Toward
from agentbus.testing.hub import TEST_KEY, MemoryHub
from agentbus.testing.network import MemoryNetwork

CHANNEL: Final = "rooms/recovery"
PUBLISHER: Final = "publisher"
QUICK: Final = ReconnectOptions(initial_delay=0.05, max_delay=0.2, jitter_ratio=0.2, max_attempts=1 << 30)
FRAME_BYTES: Final = 120
"""About what one message takes on the wire: connections break within a few of them."""
CALM: Final = 5.0
"""Seconds after the last trouble in which everybody comes back and hears the rest."""


class RecoveryPlan(Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        seed: of all chance.
        cuts: how many connections are broken.
        rate: messages per second.
        gap: seconds between two cuts, on average.
        listeners: who hear.
        latency: seconds on the way, each way; as much again as jitter.
        restarts: of the hub, spread over the run; each forgets everything.
        rule: the history of the channel.
    """

    seed: int
    cuts: int = 100
    rate: int = 500
    gap: float = 0.1
    listeners: int = 2
    latency: float = 0.002
    restarts: int = 0
    rule: HistoryRule = HistoryRule(pattern="rooms/**", max_messages=10_000, max_bytes=16 << 20)


Heard: TypeAlias = list[int | MessagesMissed]


@dataclass
class RecoveryRun:
    """What became of it.

    Attributes:
        published: how many messages were published.
        failed: those of which the publisher heard no ack, and why.
        heard: by listener: numbers, and what it was told to have missed.
        restarts: how often the hub was restarted.
        reconnects: of all clients.
    """

    published: int = 0
    failed: dict[int, BaseException] = field(default_factory=dict[int, BaseException])
    heard: dict[str, Heard] = field(default_factory=dict[str, Heard])
    restarts: int = 0
    reconnects: int = 0

    def problems(self) -> list[str]:
        """Name what should not have happened; for a run without restarts nothing may be missing."""
        return [problem for name in self.heard for problem in self._problems_of(name)]

    def missed(self, name: str) -> list[MessagesMissed]:
        """Give what one listener was told to have missed."""
        return [each for each in self.heard[name] if isinstance(each, MessagesMissed)]

    def _problems_of(self, name: str) -> list[str]:
        numbers = [each for each in self.heard[name] if isinstance(each, int)]
        problems: list[str] = []
        doubled = len(numbers) - len(set(numbers))
        if doubled:
            problems.append(f"{name} heard {doubled} messages twice")
        if numbers != sorted(numbers):
            problems.append(f"{name} heard messages out of order")
        lost = set(range(self.published)) - set(numbers) - set(self.failed)
        if lost and not self.restarts:
            problems.append(f"{name} lost {len(lost)} messages, the first is {min(lost)}")
        if len(self.missed(name)) != self.restarts:
            problems.append(f"{name} was told {len(self.missed(name))} times that it missed something")
        return problems


def play_recovery(plan: RecoveryPlan) -> RecoveryRun:
    """Play a plan; it takes no real time but that of its computation."""
    with VirtualLoop() as loop:
        return loop.run_until_complete(_Scene(loop, plan).play())


class _Scene:
    def __init__(self, loop: VirtualLoop, plan: RecoveryPlan) -> None:
        self._plan = plan
        self._random = Random(f"{plan.seed} recovery")
        self._loop = loop
        self._runtime = Runtime(loop=loop, random=Random(plan.seed), inline_callbacks=True)
        self._network = MemoryNetwork(loop, Random(plan.seed))
        self._run = RecoveryRun()
        self._ended = False
        self._clients: dict[str, SignallingClient] = {}
        self._hub = self._new_hub()

    def _new_hub(self) -> MemoryHub:
        key = PublishableKey(key=TEST_KEY, channel_patterns=("**",))
        app = AppConfig(id="test", publishable_keys=(key,), history=(self._plan.rule,))
        limits = Limits(messages_per_second=0, connects_per_minute_per_address=0)
        return MemoryHub(self._network, self._runtime, HubConfig(apps=(app,), limits=limits))

    async def play(self) -> RecoveryRun:
        plan = self._plan
        names = [f"listener-{number}" for number in range(1, plan.listeners + 1)]
        for name in (PUBLISHER, *names):
            await self._join(name)
        for name in names:
            await self._listen(name)
        with self._network.delaying(plan.latency, jitter=plan.latency):
            publishing = self._loop.create_task(self._publish())
            await self._trouble()
            self._ended = True
            await publishing
            await virtual_sleep(CALM)
        self._run.reconnects = sum(client.statistics().connects - 1 for client in self._clients.values())
        for client in self._clients.values():
            await client.dispose()
        await self._hub.stop()
        return self._run

    async def _join(self, name: str) -> None:
        client = self._clients[name] = SignallingClient(
            api_key=TEST_KEY,
            url="ws://localhost",
            reconnect=QUICK,
            runtime=self._runtime,
            transport_factory=self._network.dialler(name),
        )
        await client.connect()

    async def _listen(self, name: str) -> None:
        client, heard = self._clients[name], self._run.heard.setdefault(name, [])

        @client.on(ChannelMessage)
        def message(event: ChannelMessage) -> None:
            heard.append(event.data)

        client.on(MessagesMissed)(heard.append)
        await client.subscribe(CHANNEL)

    # -- what happens --------------------------------------------------------------------------------------

    async def _publish(self) -> None:
        publisher, run = self._clients[PUBLISHER], self._run
        last: Awaitable[Any] | None = None
        while not self._ended:
            sent = publisher.publish(CHANNEL, run.published, retry=True)
            sent.add_done_callback(functools.partial(self._settled, run.published))
            run.published += 1
            last = sent
            await virtual_sleep(1 / self._plan.rate)
        if last is not None:
            try:
                await last
            except AgentBusError:
                return  # it is in the books

    def _settled(self, number: int, sent: Future[None]) -> None:
        error = sent.exception()
        if error is not None:
            self._run.failed[number] = error

    async def _trouble(self) -> None:
        plan = self._plan
        every = plan.cuts // plan.restarts if plan.restarts else 0
        for number in range(plan.cuts):
            await self._cut(self._random.choice(sorted(self._clients)))
            if every and number % every == every // 2:
                await self._restart()

    async def _cut(self, whom: str) -> None:
        """Break a connection: at once, or at a random byte of what comes next."""
        wait = self._random.expovariate(1 / self._plan.gap)
        if self._random.random() < 0.5:
            await virtual_sleep(wait)
            self._network.cut(whom)
            return
        toward = self._random.choice([Toward.CLIENT, Toward.SERVER, Toward.BOTH])
        with self._network.cut_after(self._random.randrange(1, 20 * FRAME_BYTES), whom, toward=toward):
            await virtual_sleep(wait)

    async def _restart(self) -> None:
        """Let everybody be there, then start another hub in place of this one."""
        await virtual_sleep(CALM)
        await self._hub.stop()
        self._hub = self._new_hub()
        self._run.restarts += 1
        await virtual_sleep(CALM)
