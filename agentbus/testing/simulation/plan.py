"""A scenario as data: who takes part, and what happens when. Drawn from a seed, or written down by hand.

A plan can be printed, kept in a file and made smaller; running it needs nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from agentbus.agents.queues.core.options import QueueOptions

if TYPE_CHECKING:
    from agentbus.testing.simulation.stage import Stage


FOR_GOOD = 1e6
"""Seconds that clocks which jump an hour at a time do not come near to."""

PLENTY_OF_CONNECTS = 30
"""Connects per minute that nobody's backoff comes near to."""


class Step(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something that is done to the world.

    Attributes:
        at: virtual seconds since the beginning.
    """

    at: float

    def run(self, stage: Stage) -> None:
        """Do it."""
        raise TypeError(f"{type(self).__name__} on {stage!r}: every step says what it does")

    def __str__(self) -> str:
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__ if name != "at")
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in fields)})"


class TokenMood(msgspec.Struct, frozen=True, kw_only=True):
    """How a token provider behaves.

    Attributes:
        delay: seconds that it takes.
        fails: it raises.
        gives: "good", "empty", "nonsense" (no string), "malformed", "forged" or "powerless" (no channel).
        lifetime: seconds until its tokens expire.
    """

    delay: float = 0.0
    fails: bool = False
    gives: str = "good"
    lifetime: int = 3600


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who takes part.

    Attributes:
        name: on the network and in the trace.
    """

    name: str


class ClientSpec(Member, frozen=True, kw_only=True):
    """One client.

    Attributes:
        peer: the `sub` of its tokens; None: it has a publishable key.
        mood: of its token provider, to begin with.
        async_provider: whether that is a coroutine function.
        auto_reconnect: as in the client's options, as is the rest.
    """

    peer: str | None = None
    mood: TokenMood = TokenMood()
    async_provider: bool = True
    auto_reconnect: bool = True
    auto_resubscribe: bool = True
    size_check: bool = True
    initial_delay: float = 0.5
    max_delay: float = 30.0
    max_attempts: int = 100
    jitter_ratio: float = 0.2
    inactivity_timeout: float = 60.0


class NodeSpec(Member, frozen=True, kw_only=True):
    """One node of a bus; its name is its id.

    Attributes:
        with_token: whether it has tokens with the role of a node, and believes only those who have, too.
    """

    with_token: bool = False


class QueueSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A queue among the nodes of a bus; every node puts jobs on it.

    Attributes:
        hosts: nodes that are to host it; one of them does.
        workers: nodes that have a worker.
        concurrency: jobs that a worker takes at a time.
        locks: whether a host's claim is held by a lock that ends with its process only.
        lease: as in the queue's options, as is the rest.
        max_attempts: see there.
        max_jobs: see there.
        rate: see there.
        leased_at_once: the queue's `concurrency`.
    """

    hosts: tuple[str, ...]
    workers: tuple[str, ...]
    concurrency: int = 2
    locks: bool = True
    lease: float = 6.0
    max_attempts: int = 4
    max_jobs: int = 1_000_000
    rate: int | None = None
    leased_at_once: int | None = None

    def options(self) -> QueueOptions:
        """Give the queue's options."""
        return QueueOptions(
            lease=self.lease,
            min_lease=1.0,
            max_attempts=self.max_attempts,
            retry_delay=0.5,
            max_retry_delay=4.0,
            max_jobs=self.max_jobs,
            rate=self.rate,
            result_ttl=FOR_GOOD,
            concurrency=self.leased_at_once,
        )


class HubSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The hub's limits, as in its configuration."""

    max_connections: int = 1000
    max_messages: int = 0
    suspended: bool = False
    max_message_size: int = 65_536
    channels_per_connection: int = 100
    messages_per_second: float = 0.0
    message_burst: int = 200
    connects_per_minute: int = 0
    max_backlog_bytes: int = 4 << 20
    presence_delay: float = 0.05
    ping_interval: float = 20.0
    ping_timeout: float = 20.0

    @property
    def tight(self) -> bool:
        """Whether something here can keep a client out, or its requests, for longer than a moment."""
        return bool(
            self.max_connections < 1000
            or self.max_messages
            or self.suspended
            or 0 < self.connects_per_minute < PLENTY_OF_CONNECTS
        )


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        seed: of all chance that the run itself draws.
        scenario: which family it was drawn from.
        clients: who takes part.
        nodes: who takes part of those that are nodes of a bus.
        queue: which of them host a queue and work for it; None without one.
        hub: its limits.
        latency: seconds on the way, each way, all the time.
        jitter: seconds on top of it, at most.
        splitting: whether all chunks arrive in pieces.
        steps: what happens, in the order of time.
    """

    seed: int
    scenario: str
    clients: tuple[ClientSpec, ...] = ()
    nodes: tuple[NodeSpec, ...] = ()
    queue: QueueSpec | None = None
    hub: HubSpec = HubSpec()
    latency: float = 0.0
    jitter: float = 0.0
    splitting: bool = False
    steps: tuple[Any, ...] = ()

    @property
    def cast(self) -> tuple[Member, ...]:
        """Everybody who takes part."""
        return (*self.clients, *self.nodes)

    def describe(self) -> list[str]:
        """Give the plan as lines to read."""
        quirks = f"latency {self.latency:g} s + {self.jitter:g} s" + (", splitting" if self.splitting else "")
        head = [f"scenario {self.scenario!r}, seed {self.seed}, {quirks}", str(self.hub)]
        if self.queue is not None:
            head.append(str(self.queue))
        return head + [str(each) for each in self.cast] + [f"{step.at:9.3f}  {step}" for step in self.steps]
