"""Three real hubs on a real nats-server: one hub to their clients, whatever dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agentbus import SignallingError, SignallingServerError
from agentbus.runtime import SystemClock
from tests.e2e.cluster import HubProgram, NatsServer, Program, need_nats, started
from tests.e2e.people import PATIENCE, ROOM, Person, all_see_all, people, traffic_passes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
Request = Callable[[], Any]


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


@pytest.fixture
def nats(tmp_path: Path) -> NatsServer:
    need_nats()
    return NatsServer(tmp_path)


def hubs_on(nats: NatsServer, count: int) -> list[HubProgram]:
    return [HubProgram("--dev", "--backplane", f"nats://127.0.0.1:{nats.port}") for _ in range(count)]


async def first_refusal(request: Request) -> str:
    """Repeat a request until it is refused, and return the code."""
    while True:
        try:
            await request()
        except SignallingServerError as error:
            return str(error.code)


async def first_success(request: Request) -> None:
    """Repeat a request until it is not refused."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await request()
            except SignallingServerError as error:
                if error.code != "backend_error":
                    raise


def test_three_hubs_are_one_and_stay_so_when_a_hub_and_nats_are_killed(nats: NatsServer) -> None:
    hubs = hubs_on(nats, 3)

    async def main() -> None:
        async with people(*(hub.url for hub in hubs)) as (alice, bob, carol):
            await traffic_passes(alice, carol)
            assert await alice.refusal(alice.client.send("nobody", 1)) == "peer_not_found"

            await asyncio.to_thread(hubs[1].kill)
            assert await alice.refusal(alice.client.send(bob.name, 1)) == "backend_error"
            await alice.until(lambda: alice.others() == {carol.name})  # its lease ran out
            assert await alice.refusal(alice.client.send(bob.name, 1)) == "peer_not_found"
            await asyncio.to_thread(hubs[1].start)
            await alice.until(lambda: alice.others() == {bob.name, carol.name})
            await bob.until(lambda: bob.others() == {alice.name, carol.name})
            await traffic_passes(bob, carol)

            await asyncio.to_thread(nats.kill)
            assert await first_refusal(lambda: alice.client.publish(ROOM, "lost")) == "backend_error"
            assert hubs[0].readyz() == (
                200,
                "ready; the backplane is away: this hub serves its own clients alone\n",
            )
            assert await alice.refusal(alice.client.send(carol.name, 1)) == "backend_error"
            await alice.client.send(alice.name, "to myself")
            await alice.until(lambda: "to myself" in alice.directs)
            await asyncio.to_thread(nats.start)
            await first_success(lambda: alice.client.send(bob.name, "again"))
            await bob.until(lambda: "again" in bob.directs)
            await traffic_passes(alice, carol)
            assert hubs[0].readyz() == (200, "ready\n")
            assert (alice.welcomes, carol.welcomes) == (1, 1)

    with started(nats), started(*hubs):
        run(main())


@pytest.mark.slow
def test_a_hub_that_is_told_to_stop_takes_its_peers_along_at_once(nats: NatsServer) -> None:
    hubs = hubs_on(nats, 2)

    async def main() -> None:
        async with people(*(hub.url for hub in hubs)) as (alice, bob):
            began = SystemClock().monotonic()
            stopping = asyncio.create_task(asyncio.to_thread(hubs[1].stop))
            await alice.until(lambda: alice.others() == set())
            assert SystemClock().monotonic() - began < 3  # sooner than its lease
            assert await stopping == 0
            assert bob.client.state == "reconnecting"

    with started(nats), started(*hubs):
        run(main())


async def until_heard(one: Person, other: Person) -> None:
    """Publish until the other hears it: both are connected, and so are their hubs."""
    for number in itertools.count():
        mark = f"{one.name} to {other.name}, try {number}"
        with contextlib.suppress(SignallingError, TimeoutError):
            await one.client.publish(ROOM, mark)
            async with asyncio.timeout(0.3):
                await other.until(lambda mark=mark: (one.name, mark) in other.heard[-300:])
            return
        await one.until(lambda: one.client.state == "connected")


class Talker:
    """Publishes numbers until told to stop; knows which were acked, and when somebody was being killed."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.acked: list[int] = []
        self.refused: list[int] = []
        self.talking = True

    @property
    def said(self) -> int:
        """The latest number, or the one before it."""
        return len(self.acked) + len(self.refused)

    async def talk(self) -> None:
        number = 0
        while self.talking:
            number += 1
            try:
                await self.person.client.publish(ROOM, number)
            except SignallingError:  # refused, or cut off: it may have arrived
                self.refused.append(number)
                await self.person.until(lambda: self.person.client.state == "connected")
            else:
                self.acked.append(number)

    def check(self, listener: Person, quiet: list[range]) -> None:
        """Nothing comes twice or out of order; what is acked while nobody is being killed arrives."""
        heard = [data for sender, data in listener.heard if sender == self.person.name and type(data) is int]
        assert heard == sorted(set(heard))
        must = {number for number in self.acked for span in quiet if number in span}
        assert must <= set(heard), sorted(must - set(heard))[:10]


async def all_acked_has_arrived(talkers: list[Talker], everybody: list[Person]) -> None:
    for talker, listener in itertools.product(talkers, everybody):
        if listener is not talker.person:
            mark = (talker.person.name, talker.acked[-1])
            await listener.until(lambda mark=mark, listener=listener: mark in listener.heard[-5000:])


async def quiet_then_kill(talkers: list[Talker], everybody: list[Person], victim: Program) -> list[range]:
    """Let everybody talk for a while, then kill somebody; return what each one said meanwhile."""
    begins = [talker.said for talker in talkers]
    await everybody[0].until(lambda: talkers[0].said > begins[0] + 50)
    spans = [range(begin + 2, talker.said - 1) for begin, talker in zip(begins, talkers, strict=True)]
    await all_acked_has_arrived(talkers, everybody)
    await asyncio.to_thread(victim.kill)
    await asyncio.to_thread(victim.start)
    for one, other in itertools.permutations(everybody, 2):
        await until_heard(one, other)
    return spans


async def kill_at_random(nats: NatsServer, hubs: list[HubProgram], rounds: int, random: Random) -> None:
    async with people(*(hub.url for hub in hubs)) as everybody:
        talkers = [Talker(person) for person in everybody]
        talking = [asyncio.create_task(talker.talk()) for talker in talkers]
        quiet = [
            await quiet_then_kill(talkers, everybody, random.choice([nats, *hubs])) for _ in range(rounds)
        ]
        for talker in talkers:
            talker.talking = False
        await asyncio.gather(*talking)
        await all_see_all(everybody)
        for one, other in itertools.permutations(everybody, 2):
            await until_heard(one, other)  # by then all that went before has arrived, too
        for index, talker in enumerate(talkers):
            for listener in everybody:
                if listener is not talker.person:
                    talker.check(listener, [spans[index] for spans in quiet])


def test_kills_at_random_under_load_lose_nothing_in_between_and_mix_up_nothing(nats: NatsServer) -> None:
    hubs = hubs_on(nats, 3)
    with started(nats), started(*hubs):
        run(kill_at_random(nats, hubs, 2, Random(5)))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
def test_many_kills_at_random_under_load(nats: NatsServer, seed: int) -> None:
    hubs = hubs_on(nats, 3)
    with started(nats), started(*hubs):
        run(kill_at_random(nats, hubs, 12, Random(seed)))
