"""Families of plans: what a seed draws from. The seed names the family, unless somebody else does."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Final

import msgspec

from agentbus.testing.simulation import chance
from agentbus.testing.simulation.chance import Cast, Draw
from agentbus.testing.simulation.operations import Connect
from agentbus.testing.simulation.plan import ClientSpec, HubSpec, Plan, Step

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

NAMES: Final = ("alice", "bob", "carol", "dave")


class Scenario(msgspec.Struct, frozen=True):
    """A family of plans.

    Attributes:
        faults: what happens besides what programs do, and how often.
        share: of all steps that are faults.
        tokens: probability that a client has a token provider.
        tight: whether the hub's limits are drawn too.
        steps: about how many.
    """

    faults: dict[Draw, float]
    share: float = 0.2
    tokens: float = 0.3
    tight: bool = False
    steps: int = 50


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
}


def draw_plan(seed: int, scenario: str | None = None) -> Plan:
    """Draw a plan; the same for the same arguments, for ever, as long as this folder does not change.

    Args:
        seed: any number.
        scenario: a key of `SCENARIOS`; by default the seed picks one.

    Raises:
        KeyError: there is no such scenario.
    """
    name = scenario or list(SCENARIOS)[seed % len(SCENARIOS)]
    family = SCENARIOS[name]
    random = Random(f"plan {seed} {name}")
    clients = tuple(_client(random, each, family) for each in NAMES[: random.randint(2, 4)])
    return Plan(
        seed=seed,
        scenario=name,
        clients=clients,
        hub=_hub(random) if family.tight else HubSpec(),
        latency=random.choice((0.0, 0.0, 0.001, 0.05)),
        jitter=random.choice((0.0, 0.0, 0.02)),
        splitting=random.random() < 0.1,
        steps=tuple(_steps(random, family, clients)),
    )


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


def _steps(random: Random, family: Scenario, clients: tuple[ClientSpec, ...]) -> list[Step]:
    names = tuple(client.name for client in clients)
    cast = Cast(random, names, tuple(client.name for client in clients if client.peer is not None))
    steps: list[Step] = [Connect(at=round(random.random(), 3), who=name) for name in names]
    at = 1.0
    for _ in range(random.randint(family.steps // 2, family.steps * 3 // 2)):
        if random.random() > 0.25:  # else at the very moment of the last one
            at += cast.some(0.001, 5) if random.random() < 0.9 else cast.some(1, 60)
        weights = family.faults if random.random() < family.share else PROGRAM
        steps.append(_pick(random, weights)(cast, round(at, 3)))
    return sorted(steps, key=lambda step: step.at)


def _pick(random: Random, weights: Weights) -> Draw:
    return random.choices(list(weights), list(weights.values()))[0]
