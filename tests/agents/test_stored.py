"""Stored agents: the state comes back, and what was answered is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentbus.agents import (
    AgentActor,
    AsyncAgentActor,
    Bus,
    MemoryStore,
    Message,
    Outcome,
    Request,
    SqliteStore,
    handles,
)
from agentbus.agents.lives.store import Commit
from agentbus.errors import AgentFailed
from agentbus.runtime import Backoff, Future, RestartMode, RestartPolicy, virtual_sleep
from tests.agents.cluster import Cluster, simulate

RESTART = RestartPolicy(mode=RestartMode.RESTART, backoff=Backoff(initial_delay=0.0, jitter_ratio=0.0))


class Balance(Message):
    value: int
    restarts: int = 0


class Deposit(Request[Balance]):
    amount: int
    early: bool = False
    fail: bool = False
    seconds: float = 0.0


class TooMuchError(Exception):
    pass


class Ledger(AsyncAgentActor):
    def __init__(self) -> None:
        self.total = 0
        self.restored = False

    def snapshot(self) -> Any:
        return {"total": self.total}

    def restore(self, state: Any) -> None:
        self.total = state["total"]
        self.restored = True

    @handles(raises=(TooMuchError,))
    async def add(self, message: Deposit) -> Balance:
        if message.amount > 100:
            raise TooMuchError(message.amount)
        self.total += message.amount
        if message.early:
            self.reply(Balance(self.total))
        if message.seconds:
            await virtual_sleep(message.seconds)
        if message.fail:
            raise RuntimeError("after the fact")
        return Balance(self.total, self.restarts)


class SyncLedger(AgentActor):
    def __init__(self) -> None:
        self.total = 0

    def snapshot(self) -> Any:
        return self.total

    def restore(self, state: Any) -> None:
        self.total = state

    @handles
    def add(self, message: Deposit) -> Balance:
        self.total += message.amount
        if message.fail:
            raise RuntimeError("after the fact")
        return Balance(self.total, self.restarts)


class SlowStore(MemoryStore):
    """Takes its time, and notes what was known when it had written."""

    def __init__(self, answered: list[str]) -> None:
        super().__init__()
        self.answered = answered
        self.seen: list[list[str]] = []
        self.held: list[tuple[Commit, Future[Any]]] = []

    def commit(self, commit: Commit) -> Future[Any]:
        done: Future[Any] = Future()
        self.held.append((commit, done))
        return done

    def release(self) -> None:
        self.seen.append(list(self.answered))
        for commit, done in self.held:
            super().commit(commit)
            done.set(None)
        self.held.clear()


async def one(cluster: Cluster) -> Bus:
    (bus,) = await cluster.join("a")
    return bus


@pytest.mark.parametrize("cls", [Ledger, SyncLedger])
def test_a_restart_goes_on_from_what_was_acknowledged(cls: type[Any]) -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(cls, name="ledger", store=MemoryStore(), supervision=RESTART)
        assert (await ref.ask(Deposit(5))).value == 5
        with pytest.raises(AgentFailed):
            await ref.ask(Deposit(7, fail=True))
        assert await ref.ask(Deposit(1)) == Balance(6, 1)

    simulate(scenario)


def test_an_agent_of_the_same_name_and_store_takes_over() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus, store = await one(cluster), MemoryStore()
        first = bus.spawn(Ledger, name="ledger", store=store)
        await first.ask(Deposit(5))
        await first.stop()
        second = bus.spawn(Ledger, name="ledger", store=store)
        assert (await second.ask(Deposit(1))).value == 6
        other = bus.spawn(Ledger, name="other", store=store)
        assert (await other.ask(Deposit(1))).value == 1

    simulate(scenario)


def test_a_message_under_a_key_is_handled_once_and_answered_the_same() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("a", "b")
        here.spawn(Ledger, name="ledger", store=MemoryStore(), supervision=RESTART)
        for ref in (here.ref("ledger"), there.ref("a/ledger")):
            key = f"k-{ref.is_local}"
            first = await ref.ask(Deposit(5), key=key)
            assert await ref.ask(Deposit(5), key=key) == first
            assert await ref.tell(Deposit(5), key=key) is Outcome.DELIVERED
        with pytest.raises(AgentFailed):
            await here.ref("ledger").ask(Deposit(5, fail=True), key="failed")
        assert (await here.ref("ledger").ask(Deposit(5), key="failed")).value == 15

    simulate(scenario)


def test_a_declared_exception_under_a_key_comes_again() -> None:
    async def scenario(cluster: Cluster) -> None:
        here, there = await cluster.join("a", "b")
        here.spawn(Ledger, name="ledger", store=MemoryStore())
        for ref in (here.ref("ledger"), there.ref("a/ledger")):
            for _ in range(2):
                with pytest.raises(TooMuchError):
                    await ref.ask(Deposit(500), key="too much")

    simulate(scenario)


def test_neither_reply_nor_receipt_leaves_before_the_state_is_written() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus, answered = await one(cluster), list[str]()
        store = SlowStore(answered)
        ref = bus.spawn(Ledger, name="ledger", store=store)
        for name, future in (
            ("reply", ref.ask(Deposit(1))),
            ("early", ref.ask(Deposit(1, early=True))),
            ("receipt", ref.tell(Deposit(1))),
        ):
            future.add_done_callback(lambda _done, name=name: answered.append(name))
            await virtual_sleep(5)
            assert name not in answered
            store.release()
            await virtual_sleep(1)
            assert name in answered
        assert store.load("ledger").get() == b'{"total":3}'

    simulate(scenario)


def test_what_expired_or_was_not_understood_changes_nothing() -> None:
    class Strange(Message):
        pass

    async def scenario(cluster: Cluster) -> None:
        bus, store = await one(cluster), MemoryStore()
        ref = bus.spawn(Ledger, name="ledger", store=store)
        assert await ref.tell(Strange()) is Outcome.DEAD_LETTERED
        slow = ref.ask(Deposit(1, seconds=10.0))
        assert await ref.tell(Deposit(1), timeout=1.0) is Outcome.EXPIRED
        assert (await slow).value == 1
        assert store.load("ledger").get() == b'{"total":1}'

    simulate(scenario)


def test_a_stall_that_is_restarted_leaves_no_trace_in_the_state() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus, store = await one(cluster), MemoryStore()
        ref = bus.spawn(Ledger, name="l", store=store, stall_timeout=5.0, on_stall="restart")
        await ref.ask(Deposit(1))
        with pytest.raises(AgentFailed):
            await ref.ask(Deposit(10, seconds=100.0))
        assert (await ref.ask(Deposit(1))).value == 2

    simulate(scenario)


@pytest.mark.parametrize("timeout", [None, 1.0])
def test_a_message_that_is_cut_off_leaves_no_trace_in_the_state(timeout: float | None) -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Ledger, name="ledger", store=MemoryStore())
        for total in (5, 10):
            cut_off = ref.ask(Deposit(7, seconds=5.0), timeout=timeout).quiet()
            await virtual_sleep(2.0)
            cut_off.cancel()
            assert await ref.ask(Deposit(5)) == Balance(total)

    simulate(scenario)


def test_a_cancel_while_the_state_is_written_takes_nothing_back() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus, store = await one(cluster), SlowStore([])
        ref = bus.spawn(Ledger, name="ledger", store=store)
        asked = ref.ask(Deposit(7))
        await virtual_sleep(1.0)
        asked.cancel()
        await virtual_sleep(1.0)
        second = ref.ask(Deposit(5))
        await virtual_sleep(1.0)
        store.release()
        assert await second == Balance(12)

    simulate(scenario)


def test_what_cannot_be_stored_is_refused() -> None:
    class Wide(Ledger):
        concurrency = 2

    class Forgetful(AsyncAgentActor):
        @handles
        async def add(self, message: Deposit) -> Balance:
            return Balance(message.amount)

    class Half(Forgetful):
        def snapshot(self) -> None:
            return None

    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        with pytest.raises(ValueError, match="name="):
            bus.spawn(Ledger, store=MemoryStore())
        with pytest.raises(ValueError, match="one message at a time"):
            bus.spawn(Wide, name="wide", store=MemoryStore())
        with pytest.raises(TypeError, match=r"Forgetful .* needs snapshot\(\) and restore\(\)"):
            bus.spawn(Forgetful, name="forgetful", store=MemoryStore())
        with pytest.raises(TypeError, match=r"Half .* needs restore\(\):"):
            bus.spawn(Half, name="half", store=MemoryStore())
        assert bus.find() == []
        for key in ("", "k" * 201):
            with pytest.raises(ValueError, match="key"):
                bus.ref("wide").tell(Deposit(1), key=key)

    simulate(scenario)


@pytest.mark.parametrize("cls", [Ledger, SyncLedger])
def test_a_file_keeps_the_state_for_the_next_bus(cls: type[Any], tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    for turn in (1, 2):
        with Bus() as bus:
            ref = bus.spawn(cls, name="ledger", store=store)
            assert ref.ask(Deposit(1), key=f"k{turn}").get(timeout=10).value == turn
            assert ref.ask(Deposit(1), key="k1").get(timeout=10).value == 1
    store.close().get(timeout=10)
