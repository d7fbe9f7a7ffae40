"""Several hubs over a backplane in memory, on a clock by hand; packets move when the test says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from agentbus.hub.backplane.memory import MemoryExchange
from agentbus.hub.core import AppConfig, Command, Instant, Limits, UsageStore
from agentbus.hub.core.cluster import ClusterTimes
from tests.hub.core.world import Client, World, app

BEAT = ClusterTimes().beat
LEASE = ClusterTimes().lease


class Member:
    """One life of one hub."""

    def __init__(
        self,
        cluster: ClusterWorld,
        name: str,
        life: str,
        apps: tuple[AppConfig, ...],
        store: UsageStore | None,
        config: dict[str, Any],
    ) -> None:
        limits = Limits(messages_per_second=0)
        self.world = World(*apps, limits=limits, usage_store=store, name=f"{life}-peer", life=life, **config)
        self.world.now = cluster.now
        self.life = life
        self.alive = True
        self._cluster = cluster
        self.core = self.world.hub.join(name, life, on_waiting=self._on_waiting)
        self.backplane = cluster.exchange.backplane()
        self.backplane.join(life, self)

    # -- what the backplane says -----------------------------------------------------------------------------

    def on_open(self) -> None:
        self.core.opened(self.world.now)

    def on_packet(self, payload: bytes) -> None:
        if self.alive:
            self.world.execute(self.core.received(payload, self.world.now))

    def on_lost(self) -> None:
        self.world.execute(self.core.closed(self.world.now))

    # -- what a shell does -----------------------------------------------------------------------------------

    def _on_waiting(self) -> None:
        self._cluster.under_way.append((self.flush, ()))

    def flush(self) -> None:
        for parcel in self.core.take() if self.alive else ():
            self.backplane.send(parcel.to, parcel.payload)

    def do(self, commands: list[Command]) -> None:
        self.world.execute(commands)

    def join(self, *channels: str, peer: str | None = None, **claims: Any) -> Client:
        """Connect and subscribe, as `World.join` does, and let the others hear of it."""
        client = self.world.join(*channels, peer=peer, **claims)
        self._cluster.settle()
        return client

    def peers(self, channel: str) -> list[str]:
        return [peer.peer_id for peer in self.world.hub.peers("demo", channel)]


class ClusterWorld:
    """Hubs that have found each other.

    Args:
        hubs: how many.
        apps: of each of them.
    """

    def __init__(self, hubs: int, *apps: AppConfig, **config: Any) -> None:
        self.now = Instant(100.0, 1_750_000_000.0)
        self.under_way: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.exchange = MemoryExchange(self._later)
        self._apps = apps or (app(),)
        self._config = config
        self._lives = 0
        self.members: list[Member] = []
        for _ in range(hubs):
            self.start()
        self.settle()

    def _later(self, fn: Callable[..., object], *args: Any) -> None:
        self.under_way.append((fn, args))

    def __getitem__(self, index: int) -> Member:
        return self.members[index]

    @property
    def alive(self) -> list[Member]:
        return [member for member in self.members if member.alive]

    def start(self, name: str | None = None, store: UsageStore | None = None) -> Member:
        """Start another hub; let it find the others with `settle`."""
        self._lives += 1
        life = f"hub{self._lives}"
        member = Member(self, name or life, life, self._apps, store, self._config)
        self.members.append(member)
        return member

    def kill(self, member: Member) -> None:
        """End a hub without a word."""
        member.alive = False
        self.exchange.leave(member.life)

    def stop(self, member: Member) -> None:
        """End a hub as it should be."""
        member.do(member.world.hub.shutdown(self.now, retry_after=1))
        for parcel in member.core.farewell():
            member.backplane.send(parcel.to, parcel.payload)
        member.alive = False
        self.exchange.leave(member.life)
        self.settle()

    # -- what is under way -----------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let everything arrive, and what that leads to."""
        while self.under_way:
            self.step()

    def step(self) -> None:
        """Let one thing arrive."""
        fn, args = self.under_way.popleft()
        fn(*args)

    def advance(self, seconds: float) -> None:
        """Let time pass on all hubs; packets arrive at once."""
        end = self.now.monotonic + seconds
        while (due := self._next_deadline()) is not None and due <= end:
            self._set(max(due, self.now.monotonic))
            for member in self.alive:
                member.do(member.world.hub.tick(self.now))
            self.settle()
        self._set(end)

    def jump(self, seconds: float) -> None:
        """Let time pass without a beat: the hubs stood still."""
        self._set(self.now.monotonic + seconds)

    def _next_deadline(self) -> float | None:
        deadlines = [member.world.hub.next_deadline() for member in self.alive]
        return min((due for due in deadlines if due is not None), default=None)

    def _set(self, monotonic: float) -> None:
        self.now = Instant(monotonic, 1_750_000_000.0 + (monotonic - 100.0))
        for member in self.members:
            member.world.now = self.now
