"""Every message has one outcome, whatever happens to networks, hubs and nodes."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from agentbus.agents.agent import AsyncAgentActor
from agentbus.agents.bus import Bus
from agentbus.agents.handlers import handles
from agentbus.agents.message import Message, Request
from agentbus.agents.outcome import Outcome
from agentbus.errors import AgentError, MailboxFullError
from agentbus.runtime import (
    Backoff,
    Future,
    MailboxOptions,
    Overflow,
    RestartMode,
    RestartPolicy,
    virtual_sleep,
)
from tests.agents.cluster import Cluster, simulate

POLICY = RestartPolicy(mode=RestartMode.RESTART, intensity=1000, backoff=Backoff(initial_delay=0.05))


class Work(Message):
    sender: str
    number: int
    seconds: float
    fails: bool = False


class Question(Request[str]):
    sender: str
    number: int
    seconds: float


class Ledger(AsyncAgentActor):
    """Writes down what it handled."""

    def __init__(self, handled: list[str], begun: Counter[str]) -> None:
        self.handled = handled
        self.begun = begun

    @handles
    async def work(self, work: Work) -> None:
        name = f"{work.sender}{work.number}"
        self.begun[name] += 1
        await virtual_sleep(work.seconds)
        if work.fails:
            raise RuntimeError("as ordered")
        self.handled.append(name)

    @handles
    async def question(self, question: Question) -> str:
        name = f"{question.sender}{question.number}"
        self.begun[name] += 1
        await virtual_sleep(question.seconds)
        self.handled.append(name)
        return name


class Chaos:
    """Three nodes that write to each other while their world falls apart."""

    def __init__(self, cluster: Cluster, dice: Random) -> None:
        self.cluster = cluster
        self.dice = dice
        self.handled: list[str] = []
        self.begun: Counter[str] = Counter()
        self.told: dict[str, Future[Outcome]] = {}
        self.asked: dict[str, Future[str]] = {}
        self.given_up: set[str] = set()
        self.alive: dict[str, Bus] = {}
        self.lives = Counter[str]()

    async def start(self, node: str) -> None:
        self.lives[node] += 1
        bus = self.cluster.make(node, client=f"{node}{self.lives[node]}")
        await bus.start()
        mailbox = MailboxOptions(capacity=self.dice.choice((5, 1000)), overflow=Overflow.REJECT)
        bus.spawn(Ledger, self.handled, self.begun, name="ledger", supervision=POLICY, mailbox=mailbox)
        self.alive[node] = bus

    async def step(self) -> None:
        dice, cluster = self.dice, self.cluster
        node = dice.choice(sorted(self.alive))
        match dice.randrange(12):
            case 0:
                cluster.network.cut(f"{node}{self.lives[node]}", silently=dice.random() < 0.3)
            case 1 if dice.random() < 0.3:
                await cluster.shell.shutdown(0.1)
                await virtual_sleep(dice.choice((0.0, 3.0)))
                cluster.start_hub()
            case 2 if dice.random() < 0.3:
                await self.alive.pop(node).close()
                await self.start(node)
            case 3 if dice.random() < 0.2:
                with cluster.network.refusing(f"{node}{self.lives[node]}"):
                    cluster.network.cut(f"{node}{self.lives[node]}")
                    await virtual_sleep(dice.choice((5.0, 30.0)))
            case 4:
                await virtual_sleep(dice.choice((0.01, 0.5, 4.0)))
            case 5 | 6 if self.asked:
                self.given_up.update(
                    name for name in dice.sample(sorted(self.asked), 1) if self.asked[name].cancel()
                )
            case _:
                self.send(node)

    def send(self, node: str) -> None:
        dice = self.dice
        for _ in range(dice.choice((1, 8))):
            target = self.alive[node].ref(
                f"{dice.choice('abc')}/{dice.choice(('ledger',) * 9 + ('nobody',))}"
            )
            number, timeout = len(self.told) + len(self.asked), dice.choice((None, None, 0.3, 5.0))
            seconds = dice.choice((0.0, 0.0, 0.2, 1.0))
            if dice.random() < 0.5:
                work = Work(node, number, seconds, fails=dice.random() < 0.1)
                self.told[f"{node}{number}"] = target.tell(work, timeout=timeout)
            else:
                ask = target.ask(Question(node, number, seconds), timeout=timeout or 120)
                self.asked[f"{node}{number}"] = ask.quiet()


@pytest.mark.parametrize("seed", range(12))
def test_every_message_has_exactly_one_outcome(seed: int) -> None:
    async def scenario(cluster: Cluster) -> None:
        chaos = Chaos(cluster, Random(seed))
        for node in "abc":
            await chaos.start(node)
        for _ in range(120):
            await chaos.step()
        await cluster.until(lambda: all(future.done() for future in chaos.told.values()), within=300)
        await cluster.until(lambda: all(future.done() for future in chaos.asked.values()), within=300)
        assert max(chaos.begun.values(), default=0) <= 1, "nothing runs twice"
        finished = Counter(chaos.handled)
        for name, future in chaos.told.items():
            outcome = future.get()
            if outcome is Outcome.DELIVERED:
                assert finished[name] == 1
            elif outcome is not Outcome.UNKNOWN:
                assert finished[name] == 0, (name, outcome)
        for name, ask in chaos.asked.items():
            if name in chaos.given_up:
                assert ask.cancelled()
                assert finished[name] <= 1
                continue
            error = ask.exception()
            assert error is None or isinstance(error, AgentError | MailboxFullError), error
            assert error is not None or (finished[name] == 1 and ask.get() == name)
        assert chaos.given_up
        for bus in chaos.alive.values():
            parts = cluster.parts(bus)
            assert parts.exchange.waiting_asks == 0
            await cluster.until(lambda parts=parts: len(parts.reception.asked) == 0)
            await cluster.until(lambda parts=parts: all(link.idle for link in parts.traffic.links()))

    simulate(scenario, seed=seed)
