"""One stalled reader among a hundred, at 10 000 messages a second: the others do not notice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from agentbus.agents import AsyncAgentActor, Bus, Message, handles
from agentbus.agents.node_parts import NodeOptions
from agentbus.agents.ref import AgentRef
from agentbus.protocol.pacer import Pace
from agentbus.runtime import MailboxOptions, SystemClock, virtual_sleep
from tests.agents.cluster import Cluster, simulate

READERS = 100
RATE = 10_000
TICK = 0.01
MAILBOX = MailboxOptions(capacity=8)


class Line(Message, wire_name="stalled.Line"):
    sent_at: float
    text: str


class Reader(AsyncAgentActor):
    """Notes how old each line is, once it may read."""

    def __init__(self, clock: Callable[[], float], ages: list[float], gate: asyncio.Event | None) -> None:
        self.read_clock = clock
        self.ages = ages
        self.gate = gate

    @handles
    async def on_line(self, line: Line) -> None:
        if self.gate is not None:
            await self.gate.wait()
        self.ages.append(self.read_clock() - line.sent_at)


def p99(ages: list[float]) -> float:
    return sorted(ages)[len(ages) * 99 // 100]


def simulated(seconds: float, *, stalled: bool) -> tuple[float, int, int]:
    """Give the p99 age of what the other readers got, the most that was held, and the most bytes parked."""

    async def scenario(cluster: Cluster) -> tuple[float, int, int]:
        options = NodeOptions(pace=Pace(rate=90, burst=20, reserve=4))
        one, two = await cluster.join("one", "two", options=options)
        gate = asyncio.Event() if stalled else None
        ages: list[float] = []
        for number in range(READERS):
            mine, blocked = ([], gate) if number == 0 else (ages, None)
            two.spawn(Reader, cluster.loop.time, mine, blocked, name=f"r{number}", mailbox=MAILBOX)
        refs = [one.ref(f"two/r{number}") for number in range(READERS)]
        ticks = int(seconds / TICK)
        held = parked = 0
        with cluster.network.delaying(0.001, jitter=0.002):
            for _ in range(ticks):
                told = [ref.tell(Line(sent_at=cluster.loop.time(), text="x" * 60)) for ref in refs]
                assert len(told) == RATE * TICK
                await virtual_sleep(TICK)
                (link,) = cluster.parts(one).traffic.links()
                held = max(held, link.queued)
                parked = max(parked, cluster.parts(two).parking.bytes)
            await cluster.until(lambda: len(ages) == ticks * (READERS - 1))
        if gate is not None:
            gate.set()
        return p99(ages), held, parked

    return simulate(scenario)


def test_the_others_get_their_messages_as_soon_as_without_it() -> None:
    without, _, nothing = simulated(0.5, stalled=False)
    with_it, held, parked = simulated(0.5, stalled=True)
    assert nothing == 0
    assert parked > 0, "the stalled one is full"
    assert 0.002 < with_it <= without * 1.1
    assert held <= NodeOptions().link.held_capacity + RATE * TICK
    assert parked <= NodeOptions().link.max_parked_bytes


@pytest.mark.slow
def test_the_others_get_them_as_soon_for_longer() -> None:
    without, _, _ = simulated(4, stalled=False)
    with_it, held, parked = simulated(4, stalled=True)
    assert 0.002 < with_it <= without * 1.1
    assert held <= NodeOptions().link.held_capacity + RATE * TICK
    assert parked <= 1 << 20


def real(seconds: float, *, stalled: bool) -> float:
    """Give the p99 age of what the other readers got, over a real port."""
    ages: list[float] = []
    enough = threading.Event()
    ticks = int(seconds / TICK)

    class Last(Reader):
        @handles
        async def on_line(self, line: Line) -> None:
            self.ages.append(self.read_clock() - line.sent_at)
            if len(self.ages) >= ticks * (READERS - 1):
                enough.set()

    with Bus(listen="127.0.0.1:0", node="host") as host:
        environment = host.credentials_env()
        key = environment["AGENTBUS_KEY"]
        with Bus(environment["AGENTBUS_URL"], api_key=key, trust="all") as guest:
            gate = asyncio.Event()
            host.spawn(
                Reader, SystemClock.monotonic, [], gate if stalled else None, name="r0", mailbox=MAILBOX
            )
            for number in range(1, READERS):
                host.spawn(Last, SystemClock.monotonic, ages, None, name=f"r{number}")
            _pour([guest.ref(f"host/r{number}") for number in range(READERS)], ticks)
            assert enough.wait(60)
    return p99(ages)


def _pour(refs: list[AgentRef], ticks: int) -> None:
    pause, began = threading.Event(), SystemClock.monotonic()
    for tick in range(ticks):
        for ref in refs:
            ref.tell(Line(sent_at=SystemClock.monotonic(), text="x" * 60))
        pause.wait(max(0.0, began + (tick + 1) * TICK - SystemClock.monotonic()))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_others_get_them_as_soon_over_a_real_port() -> None:
    real(1, stalled=False)
    pairs = [(real(3, stalled=False), real(3, stalled=True)) for _ in range(5)]
    without = sorted(first for first, _ in pairs)[2]
    with_it = sorted(second for _, second in pairs)[2]
    assert with_it <= max(without * 1.1, without + 0.01)
