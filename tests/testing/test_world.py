"""What users test their agents with: worlds, probes, faults by name, seeds."""

from __future__ import annotations

import time

import pytest

from agentbus import AgentRef, AsyncAgentActor, Bus, Message, RestartPolicy, handles
from agentbus.errors import AgentFailed
from agentbus.runtime import Backoff, RestartMode
from agentbus.testing import Probe, ProbeError, World, simulate

DAY = 24 * 3600.0


class Chore(Message):
    number: int


class Done(Message):
    number: int
    tries: int


class Price(Message):
    item: str


class Flaky(AsyncAgentActor):
    """Fails for a day, and is restarted each time, then works."""

    tries = 0

    def __init__(self, report_to: AgentRef, until: float) -> None:
        self.report_to = report_to
        self.until = until

    @handles
    def work(self, work: Chore) -> None:
        Flaky.tries += 1
        if self.clock.monotonic() < self.until:
            raise ConnectionError("not yet")
        self.report_to.tell(Done(number=work.number, tries=Flaky.tries))


class Forwarder(AsyncAgentActor):
    def __init__(self, to: str) -> None:
        self.to = to

    @handles
    async def forward(self, work: Chore) -> None:
        await self.bus.ref(self.to).tell(work)


def test_a_day_of_retries_takes_under_a_second() -> None:
    async def scenario(world: World) -> None:
        (bus,) = await world.join("one")
        probe = world.probe(bus)
        policy = RestartPolicy(
            mode=RestartMode.RESTART,
            intensity=10_000,
            period=DAY,
            backoff=Backoff(initial_delay=1.0, max_delay=900.0),
            retry_poison=10_000,
        )
        Flaky.tries = 0
        start = world.now
        bus.spawn(Flaky, probe.ref, start + DAY, supervision=policy).tell(Chore(number=7))
        done = await probe.expect(Done, within=2 * DAY)
        assert done.number == 7
        assert done.tries > 90
        assert world.now - start >= DAY

    began = time.process_time()
    simulate(scenario)
    assert time.process_time() - began < 1.0


def test_a_probe_gives_messages_by_type_in_order_and_misses_none() -> None:
    async def scenario(world: World) -> None:
        (bus,) = await world.join("one")
        probe = world.probe(bus, "probe")
        for number in range(3):
            probe.ref.tell(Chore(number=number))
        probe.ref.tell(Done(number=9, tries=1))
        assert (await probe.expect(Done)).number == 9
        assert [(await probe.expect(Chore)).number for _ in range(3)] == [0, 1, 2]
        later = probe.expect(Chore, within=10.0)
        await world.sleep(5.0)
        probe.ref.tell(Chore(number=4))
        assert (await later).number == 4
        assert not probe.received

    simulate(scenario)


def test_a_probe_says_what_came_instead() -> None:
    async def scenario(world: World) -> None:
        (bus,) = await world.join("one")
        probe = world.probe(bus, "probe")
        probe.ref.tell(Chore(number=1))
        with pytest.raises(ProbeError, match=r"probe got no Done within 2\.0 s, but Chore"):
            await probe.expect(Done, within=2.0)
        with pytest.raises(ProbeError, match="expected nothing"):
            await probe.expect_nothing()
        await probe.expect_nothing(within=5.0)

    simulate(scenario)


def test_a_probe_answers_and_knows_who_asked() -> None:
    async def scenario(world: World) -> None:
        one, two = await world.join("one", "two")
        probe = world.probe(two, "shop")
        probe.answer(Price, lambda asked: {"item": asked.item, "cents": 250})
        assert await one.ref("two/shop").ask(Price(item="tea")) == {"item": "tea", "cents": 250}

        def refuse(_asked: Price) -> None:
            raise ValueError("sold out")

        probe.answer(Price, refuse)
        with pytest.raises(AgentFailed, match="sold out"):
            await one.ref("two/shop").ask(Price(item="tea"))
        assert list(probe.senders) == [None, None]

    simulate(scenario)


@pytest.mark.parametrize("fault", ["dropping", "delaying", "splitting"])
def test_named_faults_lose_nothing_between_agents(fault: str) -> None:
    async def scenario(world: World) -> None:
        one, two = await world.join("one", "two")
        probe = world.probe(two, "probe")
        forwarder = one.spawn(Forwarder, "two/probe", name="forwarder")
        await world.until(lambda: one.find(name="probe"))
        argument = {"dropping": (0.05,), "delaying": (0.3,), "splitting": ()}[fault]
        with getattr(world.network, fault)(*argument):
            for number in range(20):
                forwarder.tell(Chore(number=number))
                await world.sleep(world.random.uniform(0.0, 0.5))
        assert [(await probe.expect(Chore, within=60.0)).number for _ in range(20)] == list(range(20))
        assert {str(sender) for sender in probe.senders} == {"default/one/forwarder"}

    simulate(scenario, seeds=3)


def test_the_hub_can_be_restarted() -> None:
    async def scenario(world: World) -> None:
        one, two = await world.join("one", "two")
        probe = world.probe(two, "probe")
        await world.until(lambda: one.find(name="probe"))
        await world.restart_hub(down=3.0)
        one.ref("two/probe").tell(Chore(number=1))
        assert (await probe.expect(Chore, within=60.0)).number == 1

    simulate(scenario)


def test_a_failure_names_its_seed_and_a_seed_repeats_itself() -> None:
    drawn: list[float] = []

    async def scenario(world: World) -> None:
        drawn.append(world.random.random())
        assert world.seed != 3

    with pytest.raises(AssertionError) as caught:
        simulate(scenario, seeds=5)
    assert caught.value.__notes__ == ["with seed 3; again: simulate(scenario, seeds=[3])"]
    with pytest.raises(AssertionError):
        simulate(scenario, seeds=[3])
    assert drawn[2] == drawn[3]
    assert len(set(drawn)) == 3


def test_what_never_comes_to_hold_is_said() -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(ProbeError, match=r"within 2\.0 s"):
            await world.until(lambda: False, within=2.0)

    simulate(scenario)


def test_a_probe_works_on_a_real_bus_and_from_a_thread() -> None:
    with Bus() as bus:
        probe = Probe(bus)
        probe.ref.tell(Chore(number=1))
        assert probe.expect(Chore, within=5.0).get(timeout=10).number == 1
        probe.expect_nothing(within=0.01).get(timeout=10)
