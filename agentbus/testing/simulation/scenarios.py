"""Families of plans: what a seed draws from. The seed names the family, unless somebody else does."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Final

import msgspec

from agentbus.testing.simulation import chance
from agentbus.testing.simulation.bus import chance as bus_chance
from agentbus.testing.simulation.bus.steps import StartNode
from agentbus.testing.simulation.chance import Cast, Draw
from agentbus.testing.simulation.operations import Connect
from agentbus.testing.simulation.plan import ClientSpec, HubSpec, NodeSpec, Plan, QueueSpec, Step
from agentbus.testing.simulation.queues import chance as queue_chance
from agentbus.testing.simulation.queues import rich_chance

Weights = Mapping[Draw, float]

PROGRAM: Final[Weights] = MappingProxyType(
    {
        chance.publish: 8,
        chance.send: 3,
        chance.subscribe: 5,
        chance.unsubscribe: 1.5,
        chance.connect: 2,
        chance.close: 0.4,
        chance.close_on_loss: 0.2,
    }
)
"""What programs do, and how often, in every scenario."""

AGENTS: Final[Weights] = MappingProxyType(
    {
        bus_chance.tell: 8,
        bus_chance.tell_in_time: 2,
        bus_chance.ask: 6,
        bus_chance.ask_for_long: 2,
        bus_chance.ask_around: 2,
        bus_chance.ask_and_cancel: 2,
        bus_chance.ask_for_trouble: 1,
        bus_chance.ask_nobody: 0.5,
        bus_chance.send_large: 0.7,
        bus_chance.tell_much: 0.2,
        bus_chance.start_node: 1,
        bus_chance.close_node: 0.2,
    }
)
"""What nodes do, and how often, in every scenario of a bus."""

QUEUES: Final[Weights] = MappingProxyType(
    {
        queue_chance.put: 8,
        queue_chance.put_many: 1,
        queue_chance.put_long: 3,
        queue_chance.put_trouble: 2,
        queue_chance.put_payments: 2,
        queue_chance.cancel: 1,
        queue_chance.hold: 0.2,
        bus_chance.start_node: 1,
    }
)
"""What nodes do with a queue, and how often, in the plainer scenarios that have one."""

FLOWS: Final[Weights] = MappingProxyType({**QUEUES, rich_chance.put_flow: 8})
STEERED: Final[Weights] = MappingProxyType(
    {**FLOWS, rich_chance.retry: 2, rich_chance.drop: 2, queue_chance.hold: 2}
)
SCHEDULED: Final[Weights] = MappingProxyType(
    {
        queue_chance.put: 3,
        bus_chance.start_node: 1,
        rich_chance.keep_schedule: 3,
        rich_chance.drop_schedule: 0.5,
        rich_chance.jump_clock: 2,
    }
)
BUSY: Final[Weights] = MappingProxyType({**QUEUES, queue_chance.put_many: 8})
LONG: Final[Weights] = MappingProxyType({**QUEUES, rich_chance.put_work: 12})
"""What they do in the others."""

NAMES: Final = ("alice", "bob", "carol", "dave")


DEFAULT_HUB: Final = HubSpec(messages_per_second=100, message_burst=200, connects_per_minute=60)
"""A hub with the limits of spec section 8: nodes have to live with them."""

SLOW_HUB: Final = HubSpec(messages_per_second=30, message_burst=60, connects_per_minute=60)
BUS_HUBS: Final = (DEFAULT_HUB, DEFAULT_HUB, SLOW_HUB)


class Scenario(msgspec.Struct, frozen=True):
    """A family of plans.

    Attributes:
        faults: what happens besides what programs do, and how often.
        share: of all steps that are faults.
        tokens: probability that a client has a token provider.
        tight: whether the hub's limits are drawn too.
        steps: about how many.
        buses: whether the cast are nodes of a bus, and no clients.
        queues: what those do with a queue; None if they have none.
        lease: of the queue, in seconds; None for any.
    """

    faults: dict[Draw, float]
    share: float = 0.2
    tokens: float = 0.3
    tight: bool = False
    steps: int = 50
    buses: bool = False
    queues: dict[Draw, float] | None = None
    lease: float | None = None


NETWORK: Final[dict[Draw, float]] = {
    chance.cut: 4,
    chance.cut_after: 5,
    chance.dropping: 2,
    chance.splitting: 1,
    chance.refusing: 1,
}
SLOW: Final[dict[Draw, float]] = {chance.delaying: 3, chance.partition: 3, chance.splitting: 1}
RESTARTS: Final[dict[Draw, float]] = {chance.shut_down_hub: 1, chance.crash_hub: 1}
PAUSES: Final[dict[Draw, float]] = {chance.pause_client: 2, chance.pause_hub: 1}
CODES: Final[dict[Draw, float]] = {chance.force_close: 3, chance.refuse_connect: 1}
TOKENS: Final[dict[Draw, float]] = {chance.change_mood: 3, chance.cut: 1}
KILLS: Final[dict[Draw, float]] = {bus_chance.kill_node: 2, bus_chance.close_node: 1}
BUS_CODES: Final[dict[Draw, float]] = {bus_chance.force_close: 3, bus_chance.tokens_last: 1}
DRAINS: Final[dict[Draw, float]] = {queue_chance.drain: 3, bus_chance.close_node: 1}
DISK: Final[dict[Draw, float]] = {queue_chance.fill_disk: 3, bus_chance.kill_node: 1}
LIMITS: Final[dict[Draw, float]] = {
    chance.flood: 2,
    chance.publish_much: 2,
    chance.cut: 4,
    chance.partition: 1,
}

SCENARIOS: Final[dict[str, Scenario]] = {
    "calm": Scenario({chance.close: 1}, share=0.05),
    "cuts": Scenario(NETWORK),
    "slow": Scenario(SLOW),
    "restarts": Scenario({**RESTARTS, chance.cut: 1}, share=0.1),
    "pauses": Scenario({**PAUSES, chance.cut: 1}, share=0.12),
    "codes": Scenario(CODES, share=0.25),
    "tokens": Scenario(TOKENS, tokens=1.0),
    "limits": Scenario({**LIMITS}, tight=True, tokens=0.5),
    "storm": Scenario({**NETWORK, **SLOW, **RESTARTS, **PAUSES, **CODES, **TOKENS}, tight=True, tokens=0.6),
    "bus-calm": Scenario({bus_chance.close_node: 1}, share=0.03, steps=35, buses=True),
    "bus-cuts": Scenario(NETWORK, share=0.15, buses=True),
    "bus-slow": Scenario(SLOW, share=0.1, buses=True),
    "bus-kills": Scenario({**KILLS, chance.cut: 1}, share=0.1, steps=35, buses=True),
    "bus-pauses": Scenario({**PAUSES, chance.cut: 1}, share=0.08, steps=35, buses=True),
    "bus-restarts": Scenario({**RESTARTS, **BUS_CODES}, share=0.1, steps=35, buses=True),
    "bus-storm": Scenario(
        {**NETWORK, **SLOW, **RESTARTS, **PAUSES, **KILLS, **BUS_CODES}, share=0.25, steps=35, buses=True
    ),
}


def _queue(
    faults: dict[Draw, float], share: float, program: Weights = QUEUES, tokens: float = 0.3
) -> Scenario:
    return Scenario(faults, share=share, tokens=tokens, steps=40, buses=True, queues=dict(program))


LATE: Final[dict[Draw, float]] = {rich_chance.pause_worker: 4, rich_chance.part_long: 1}
CLOCKS: Final[dict[Draw, float]] = {**KILLS, queue_chance.fill_disk: 1}


QUEUE_SCENARIOS: Final[dict[str, Scenario]] = {
    "queue-calm": _queue({bus_chance.start_node: 1}, 0.01),
    "queue-drains": _queue(DRAINS, 0.15),
    "queue-cuts": _queue(NETWORK, 0.15),
    "queue-slow": _queue(SLOW, 0.1),
    "queue-kills": _queue({**KILLS, chance.cut: 1}, 0.15),
    "queue-pauses": _queue({**PAUSES, chance.cut: 1}, 0.1),
    "queue-restarts": _queue({**RESTARTS, **BUS_CODES}, 0.1),
    "queue-disk": _queue(DISK, 0.1),
    "queue-storm": _queue({**NETWORK, **SLOW, **RESTARTS, **PAUSES, **KILLS, **DRAINS, **DISK}, 0.3),
    "queue-hosts": _queue({rich_chance.kill_host: 4, chance.cut: 2}, 0.25, BUSY),
    "queue-late": msgspec.structs.replace(_queue(LATE, 0.3, LONG), lease=3.0),
    "queue-flows": _queue({**KILLS, **DRAINS, chance.cut: 2}, 0.1, FLOWS),
    "queue-steered": _queue({**KILLS, **DISK, chance.cut: 1}, 0.07, STEERED),
    "queue-clocks": _queue(CLOCKS, 0.15, SCHEDULED, tokens=0.0),
}


def draw_plan(seed: int, scenario: str | None = None) -> Plan:
    """Draw a plan; the same for the same arguments, for ever, as long as this folder does not change.

    Args:
        seed: any number.
        scenario: a key of `SCENARIOS` or `QUEUE_SCENARIOS`; by default the seed picks one of the former.

    Raises:
        KeyError: there is no such scenario.
    """
    name = scenario or list(SCENARIOS)[seed % len(SCENARIOS)]
    family = (SCENARIOS if name in SCENARIOS else QUEUE_SCENARIOS)[name]
    random = Random(f"plan {seed} {name}")
    names = NAMES[: random.randint(2, 4)]
    with_tokens = random.random() < family.tokens
    clients = () if family.buses else tuple(_client(random, each, family) for each in names)
    nodes = tuple(NodeSpec(name=each, with_token=with_tokens) for each in names) if family.buses else ()
    return Plan(
        seed=seed,
        scenario=name,
        clients=clients,
        nodes=nodes,
        queue=_queue_spec(seed, name, family, names),
        hub=_hub(random) if family.tight else random.choice(BUS_HUBS) if family.buses else HubSpec(),
        latency=random.choice((0.0, 0.0, 0.001, 0.05)),
        jitter=random.choice((0.0, 0.0, 0.02)),
        splitting=random.random() < 0.1,
        steps=tuple(_steps(random, family, clients, nodes)),
    )


def _queue_spec(seed: int, scenario: str, family: Scenario, names: tuple[str, ...]) -> QueueSpec | None:
    if family.queues is None:
        return None
    spec = queue_chance.draw_queue(Random(f"queue {seed} {scenario}"), names)
    return spec if family.lease is None else msgspec.structs.replace(spec, lease=family.lease)


def draw_queue_plan(seed: int) -> Plan:
    """Draw a plan with a queue; the seed picks the scenario."""
    return draw_plan(seed, list(QUEUE_SCENARIOS)[seed % len(QUEUE_SCENARIOS)])


def _client(random: Random, name: str, family: Scenario) -> ClientSpec:
    with_token = random.random() < family.tokens
    return ClientSpec(
        name=name,
        peer=random.choice((name, name, "shared")) if with_token else None,
        async_provider=random.random() < 0.8,
        auto_reconnect=random.random() < 0.93,
        auto_resubscribe=random.random() < 0.9,
        size_check=random.random() < 0.8,
        initial_delay=random.choice((0.1, 0.5, 2.0)),
        max_delay=random.choice((5.0, 30.0)),
        max_attempts=random.choice((3, 100, 100, 100)),
        jitter_ratio=random.choice((0.0, 0.2, 0.2, 1.0)),
        inactivity_timeout=random.choice((9.0, 30.0, 60.0, 60.0)),
    )


def _hub(random: Random) -> HubSpec:
    """Draw limits: each one is loose more often than not."""

    def seldom(tight: float, loose: float) -> float:
        return tight if random.random() < 0.25 else loose

    return HubSpec(
        max_connections=int(seldom(2, 1000)),
        max_messages=int(seldom(40, 0)),
        max_message_size=int(seldom(600, 65_536)),
        channels_per_connection=int(seldom(2, 100)),
        messages_per_second=seldom(10, 0),
        message_burst=20,
        connects_per_minute=int(seldom(2, 0)),
        max_backlog_bytes=int(seldom(1 << 16, 4 << 20)),
        presence_delay=seldom(0, 0.05),
    )


def _steps(
    random: Random, family: Scenario, clients: tuple[ClientSpec, ...], nodes: tuple[NodeSpec, ...]
) -> list[Step]:
    names = (*(client.name for client in clients), *(node.name for node in nodes))
    cast = Cast(random, names, tuple(client.name for client in clients if client.peer is not None))
    begin = StartNode if nodes else Connect
    steps: list[Step] = [begin(at=round(random.random(), 3), who=name) for name in names]
    program = family.queues or (AGENTS if nodes else PROGRAM)
    at = 1.0
    for _ in range(random.randint(family.steps // 2, family.steps * 3 // 2)):
        if random.random() > 0.25:  # else at the very moment of the last one
            at += cast.some(0.001, 5) if random.random() < 0.9 else cast.some(1, 60)
        weights = family.faults if random.random() < family.share else program
        steps.append(_pick(random, weights)(cast, round(at, 3)))
    return sorted(steps, key=lambda step: step.at)


def _pick(random: Random, weights: Weights) -> Draw:
    return random.choices(list(weights), list(weights.values()))[0]
