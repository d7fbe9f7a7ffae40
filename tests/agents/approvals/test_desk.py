"""Agents ask, people decide; the desk, the asker and the hub may go and come back meanwhile."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agentbus import (
    AgentRef,
    ApprovalDesk,
    AsyncAgentActor,
    AwaitVerdict,
    Budget,
    Bus,
    Decide,
    Future,
    ListPending,
    MemoryStore,
    Request,
    RequestApproval,
    Verdict,
    approved,
    handles,
)
from agentbus.agents.approvals.book import Turn
from agentbus.agents.approvals.desk import MAX_WAITING
from agentbus.agents.lives.store import Commit
from agentbus.errors import (
    ApprovalDenied,
    ApprovalExpired,
    DecisionRefusedError,
    NoSuchApprovalError,
    NotTrustedError,
    PayloadChanged,
    StoreError,
    TooManyApprovalsError,
)
from agentbus.testing import World, simulate

HOUR = 3600.0
SECRET = "iban-12345"


class Pay(Request[Verdict]):
    euro: int
    key: str = "pay-1"
    ttl: float = HOUR
    tokens: int = 0


class TryToDecide(Request[Verdict]):
    key: str
    digest: str


class Clerk(AsyncAgentActor):
    """Pays when it may; and would rather decide by itself."""

    concurrency = 100

    def __init__(self, desk: AgentRef) -> None:
        self.desk = desk

    @handles(raises=(ApprovalDenied, ApprovalExpired, PayloadChanged))
    async def pay(self, task: Pay) -> Verdict:
        payload = {"euro": task.euro, "to": SECRET}
        verdict = await approved(self.desk, action="pay", payload=payload, key=task.key, ttl=task.ttl)
        self.budget.spend(tokens=task.tokens)
        return verdict

    @handles(raises=(DecisionRefusedError,))
    async def decide(self, task: TryToDecide) -> Verdict:
        return await self.desk.ask(Decide(key=task.key, approve=True, by="a model", digest=task.digest))


class Office:
    """A desk on one node, a clerk on another."""

    def __init__(self, world: World, there: Bus, here: Bus, deciders: tuple[str, ...] = ()) -> None:
        self.world = world
        self.store = MemoryStore()
        self.there = there
        self.deciders = deciders
        self.open()
        self.desk = here.ref("there/desk")
        self.clerk = here.spawn(Clerk, self.desk, name="clerk")

    def open(self) -> None:
        self.there.spawn(ApprovalDesk, self.store, self.deciders, name="desk")

    async def digest(self) -> str:
        """Wait for a request; gives its digest."""
        while True:
            for request in await self.desk.ask(ListPending()):
                return request.digest
            await self.world.sleep(0.1)

    async def decide(self, approve: bool = True, key: str = "pay-1") -> Verdict:
        digest = await self.digest()
        return await self.desk.ask(Decide(key=key, approve=approve, by="Ada", digest=digest))


async def office(world: World, *deciders: str) -> Office:
    there, here = await world.join("there", "here")
    made = Office(world, there, here, deciders)
    await world.until(lambda: here.find(name="desk"))
    return made


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Read the audit log."""
    return [
        json.loads(text.partition(" ")[2])
        for name, _level, text in caplog.record_tuples
        if name == "agentbus.audit"
    ]


def test_who_is_approved_goes_on_and_the_audit_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "agentbus.audit")

    async def scenario(world: World) -> None:
        at = await office(world)
        paid = at.clerk.ask(Pay(40))
        [request] = await until_pending(at)
        assert (request.action, request.payload) == ("pay", {"euro": 40, "to": SECRET})
        assert request.asker == str(at.clerk)
        await world.sleep(600)
        assert not paid.done()
        await at.decide()
        verdict = await paid
        assert (verdict.status, verdict.by) == ("approved", "Ada")
        verdict.check({"to": SECRET, "euro": 40})
        with pytest.raises(PayloadChanged):
            verdict.check({"to": SECRET, "euro": 41})

    simulate(scenario)
    asked, said = lines(caplog)
    assert (asked["event"], asked["key"], asked["sender"]) == ("asked", "pay-1", "default/here/clerk")
    assert (said["event"], said["by"], said["digest"]) == ("approved", "Ada", asked["digest"])
    assert SECRET not in caplog.text


async def until_pending(at: Office) -> Any:
    await at.digest()
    return await at.desk.ask(ListPending())


def test_who_is_denied_does_not() -> None:
    async def scenario(world: World) -> None:
        at = await office(world)
        paid = at.clerk.ask(Pay(40))
        await at.decide(approve=False)
        with pytest.raises(ApprovalDenied) as caught:
            await paid
        assert (caught.value.key, caught.value.by) == ("pay-1", "Ada")

    simulate(scenario)


def test_what_nobody_decides_on_expires_and_is_logged_without_anybody_asking(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "agentbus.audit")

    async def scenario(world: World) -> None:
        at = await office(world)
        await at.desk.ask(RequestApproval(key="alone", action="pay", payload=1, ttl=100.0))
        asked = world.now
        with pytest.raises(ApprovalExpired):
            await at.clerk.ask(Pay(40, ttl=300.0))
        assert world.now - asked == pytest.approx(300, abs=1)
        with pytest.raises(DecisionRefusedError):
            await at.desk.ask(Decide(key="alone", approve=True, by="Ada", digest="?"))

    simulate(scenario)
    assert [(line["event"], line["key"]) for line in lines(caplog)] == [
        ("asked", "alone"),
        ("asked", "pay-1"),
        ("expired", "alone"),
        ("expired", "pay-1"),
        ("refused", "alone"),
    ]


def test_an_agent_decides_only_where_it_is_named() -> None:
    async def scenario(world: World) -> None:
        at = await office(world, "here/boss", "here/clerk")
        here = world.buses["here"]
        boss, other = here.spawn(Clerk, at.desk, name="boss"), here.spawn(Clerk, at.desk, name="other")
        paid = at.clerk.ask(Pay(40))
        digest = await at.digest()
        for agent, reason in ((other, "agent"), (at.clerk, "asker")):
            with pytest.raises(DecisionRefusedError) as caught:
                await agent.ask(TryToDecide("pay-1", digest))
            assert caught.value.reason == reason
        assert not paid.done()
        assert (await boss.ask(TryToDecide("pay-1", digest))).status == "approved"
        assert (await paid).by == "a model"

    simulate(scenario)


def test_nobody_gets_past_the_desk_to_its_book() -> None:
    async def scenario(world: World) -> None:
        await office(world)
        for bus in world.buses.values():
            with pytest.raises(NotTrustedError):
                await bus.ref("there/desk.book").ask(Turn(None, None, 10**9))

    simulate(scenario)


def test_another_payload_under_a_key_is_refused() -> None:
    async def scenario(world: World) -> None:
        at = await office(world)
        paid = at.clerk.ask(Pay(40))
        await at.digest()
        with pytest.raises(PayloadChanged):
            await at.clerk.ask(Pay(4000))
        await at.decide()
        assert (await paid).status == "approved"
        with pytest.raises(PayloadChanged):
            await at.clerk.ask(Pay(4000))
        with pytest.raises(NoSuchApprovalError):
            await at.desk.ask(AwaitVerdict(key="never"))

    simulate(scenario)


def test_a_desk_that_comes_back_goes_on_where_it_was(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "agentbus.audit")

    async def scenario(world: World) -> None:
        at = await office(world)
        kept, late = at.clerk.ask(Pay(40)), at.clerk.ask(Pay(40, key="late", ttl=60.0))
        while len(await at.desk.ask(ListPending())) < 2:
            await world.sleep(0.1)
        await at.there.ref("desk").stop(now=True)
        with pytest.raises(ApprovalExpired):
            await late
        await world.sleep(60)
        at.open()
        with pytest.raises(ApprovalExpired):
            await at.clerk.ask(Pay(40, key="late"))
        await at.decide()
        assert (await kept).status == "approved"
        assert (await at.clerk.ask(Pay(40))).by == "Ada", "who asks again under the key gets the same verdict"

    simulate(scenario, seeds=3)
    numbers = [line["number"] for line in lines(caplog)]
    assert numbers == [1, 2, 3, 4] * 3


def test_a_verdict_finds_its_asker_over_cuts_and_a_new_hub() -> None:
    async def scenario(world: World) -> None:
        at = await office(world)
        paid = [at.clerk.ask(Pay(40, key=f"k{number}")) for number in range(20)]
        await at.digest()
        with world.network.dropping(0.2, "here"):
            await world.restart_hub(down=5.0)
            await world.sleep(5.0)
        while requests := await at.desk.ask(ListPending()):
            for each in requests:
                await at.desk.ask(Decide(key=each.key, approve=True, by="Ada", digest=each.digest))
        assert {(await each).status for each in paid} == {"approved"}

    simulate(scenario, seeds=3)


def test_waiting_costs_an_asker_next_to_nothing_of_its_budget() -> None:
    async def scenario(world: World) -> None:
        at = await office(world)
        paid = at.clerk.ask(Pay(40, tokens=90), budget=Budget(tokens=100, money="1"))
        await at.digest()
        await at.there.close()
        await world.sleep(60)
        del world.buses["there"]
        (at.there,) = await world.join("there")
        at.open()
        await at.decide()
        assert (await paid).status == "approved"

    simulate(scenario)


class SlowDisk(MemoryStore):
    """Takes half a second to write."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.loop = world.loop

    def commit(self, commit: Commit) -> Future[Any]:
        done, written = Future[Any](), super().commit(commit)
        self.loop.call_later(0.5, lambda: done.set(written.get()))
        return done


def test_a_decision_whose_maker_gives_up_while_it_is_written_is_told_to_who_waits() -> None:
    async def scenario(world: World) -> None:
        (bus,) = await world.join("one")
        desk = bus.spawn(ApprovalDesk, SlowDisk(world), name="desk")
        ticket = await desk.ask(RequestApproval(key="k", action="pay", payload=1, ttl=HOUR))
        waiting = desk.ask(AwaitVerdict(key="k"))
        await world.sleep(2)
        decision = desk.ask(Decide(key="k", approve=True, by="Ada", digest=ticket.digest))
        await world.sleep(0.2)
        decision.cancel()
        await world.sleep(2)
        assert waiting.done()
        assert (await waiting).status == "approved"

    simulate(scenario)


def test_a_desk_is_served_while_as_many_wait_as_may() -> None:
    async def scenario(world: World) -> None:
        at = await office(world)
        desk = at.there.ref("desk")
        ticket = await desk.ask(RequestApproval(key="k", action="pay", payload=1, ttl=HOUR))
        waiting = [desk.ask(AwaitVerdict(key="k")) for _ in range(MAX_WAITING)]
        await world.sleep(1)
        with pytest.raises(TooManyApprovalsError):
            await desk.ask(AwaitVerdict(key="k"))
        await desk.ask(Decide(key="k", approve=True, by="Ada", digest=ticket.digest))
        assert {(await each).by for each in waiting} == {"Ada"}

    simulate(scenario)


class FullDisk(MemoryStore):
    """Can't write for a while."""

    full = True

    def commit(self, commit: Commit) -> Future[Any]:
        return Future.failed(StoreError("no space is left")) if self.full else super().commit(commit)


def test_a_disk_that_is_full_for_a_while_holds_a_request_up_and_loses_nothing() -> None:
    async def scenario(world: World) -> None:
        (bus,) = await world.join("one")
        store = FullDisk()
        store.full = False
        desk = bus.spawn(ApprovalDesk, store, name="desk")
        await desk.ask(ListPending())
        store.full = True
        waiting = asyncio.ensure_future(approved(desk, action="pay", payload=1, key="k", ttl=HOUR))
        await world.sleep(1)
        assert not waiting.done()
        store.full = False
        await world.until(lambda: not waiting.done(), within=1)
        while not (pending := await desk.ask(ListPending())):
            await world.sleep(0.5)
        await desk.ask(Decide(key="k", approve=True, by="Ada", digest=pending[0].digest))
        assert (await waiting).status == "approved"

    simulate(scenario)
