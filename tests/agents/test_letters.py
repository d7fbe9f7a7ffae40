"""Dead letters: read, counted, and sent again. A failing `tell` is never silent."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pykka
import pytest

from agentbus.agents import (
    AgentFailure,
    AsyncAgentActor,
    Bus,
    DeadLetter,
    NodeOptions,
    NodeSuspect,
    Outcome,
    handles,
)
from agentbus.agents.delivery import Body
from agentbus.runtime import MailboxOptions, Overflow, RestartMode, RestartPolicy
from agentbus.runtime.tally import Tally
from tests.agents.agents import Fail, Note, Unknown, Worker
from tests.agents.cluster import Cluster, simulate

RESTART = RestartPolicy(mode=RestartMode.RESTART, intensity=1000)
WHERE = pytest.mark.parametrize("target", ["one/worker", "two/worker"])


class Moody(AsyncAgentActor):
    """Fails until it is told not to."""

    def __init__(self, seen: list[int], mood: dict[str, bool]) -> None:
        self.seen = seen
        self.mood = mood

    @handles
    def note(self, note: Note) -> None:
        if self.mood["bad"]:
            raise ValueError("not now")
        self.seen.append(note.number)


class Plain(pykka.ThreadingActor):
    def on_receive(self, message: Any) -> Any:
        return message


@WHERE
def test_a_failing_tell_is_an_event_with_agent_message_type_and_traceback(target: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        for bus in (one, two):
            bus.spawn(Worker, name="worker")
        assert await one.ref(target).tell(Fail("broken")) is Outcome.DEAD_LETTERED
        (event,) = cluster.seen(target.partition("/")[0], AgentFailure)
        assert (event.address, event.message_type) == (f"default/{target}", "Fail")
        assert event.error == "ValueError: broken"
        assert "raise ValueError(message.why)" in event.traceback

    simulate(scenario)


@WHERE
def test_a_failing_tell_is_a_dead_letter_with_its_traceback(target: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        for bus in (one, two):
            bus.spawn(Worker, name="worker")
        assert await one.ref(target).tell(Fail("broken")) is Outcome.DEAD_LETTERED
        (letter,) = (one if target.startswith("one") else two).dead_letters.recent()
        assert (letter.address, letter.reason) == (f"default/{target}", "failed")
        assert letter.message == Fail("broken")
        assert "raise ValueError(message.why)" in letter.traceback

    simulate(scenario)


def test_dead_letters_are_counted_by_reason_and_the_latest_are_kept() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one", options=NodeOptions(dead_letters=3))
        bus.spawn(Worker, name="worker", supervision=RESTART)
        for number in range(4):
            await bus.ref("nobody").tell(Note(number))
        await bus.ref("worker").tell(Fail())
        await bus.ref("worker").tell(Unknown())
        letters = bus.dead_letters
        assert letters.count == 6
        assert letters.counts_by_reason == {"no_such_agent": 4, "failed": 1, "unhandled": 1}
        assert [each.reason for each in letters.recent()] == ["no_such_agent", "failed", "unhandled"]
        assert [each.reason for each in letters.recent(1)] == ["unhandled"]
        assert letters.recent(0) == []

    simulate(scenario)


@WHERE
def test_a_dead_letter_can_be_sent_again_and_each_time_is_counted(target: str) -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        seen: list[int] = []
        mood = {"bad": True}
        there = one if target.startswith("one") else two
        there.spawn(Moody, seen, mood, name="worker", supervision=RESTART)
        await one.ref(target).tell(Note(7))
        (letter,) = there.dead_letters.recent()
        assert await letter.resend() is Outcome.DEAD_LETTERED
        mood["bad"] = False
        assert await there.dead_letters.resend(letter) is Outcome.DELIVERED
        assert seen == [7]
        assert (there.dead_letters.resent, there.dead_letters.count) == (2, 2)

    simulate(scenario)


def test_a_message_that_nobody_decoded_can_be_sent_again_here_and_elsewhere() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        assert await one.ref("two/worker").tell(Note(3)) is Outcome.DEAD_LETTERED
        (letter,) = two.dead_letters.recent()
        assert isinstance(letter.message, Body)
        log: list[str] = []
        two.spawn(Worker, log, name="worker")
        assert await letter.resend() is Outcome.DELIVERED
        assert await one.dead_letters.resend(letter) is Outcome.DELIVERED
        assert log.count("note 3") == 2

    simulate(scenario)


def test_a_letter_to_a_replica_that_is_gone_goes_to_another() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        log: list[str] = []
        bus.spawn(Worker, log, name="worker", replicas=2)
        letter = DeadLetter("default/one/worker#9", "Note", "stopped", Note(1))
        assert await bus.dead_letters.resend(letter) is Outcome.DELIVERED
        assert "note 1" in log
        with pytest.raises(ValueError, match="no bus"):
            letter.resend()

    simulate(scenario)


def test_what_waited_for_a_node_that_died_is_a_dead_letter() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        two.spawn(Worker, name="worker")
        with cluster.network.refusing("two"):
            cluster.network.cut("two")
            await cluster.until(lambda: bool(cluster.seen("one", NodeSuspect)))
            told = one.ref("two/worker").tell(Note(1))
            assert await told is Outcome.DEAD_LETTERED
        assert [each.reason for each in one.dead_letters.recent()] == ["no_such_agent"]

    simulate(scenario)


def test_what_a_plain_actor_cannot_read_is_a_dead_letter() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        bus.spawn(Plain, name="plain")
        unreadable = DeadLetter("default/one/plain", "", "stopped", Body("Nobody", 1, msgspec.Raw(b"{}")))
        assert await bus.dead_letters.resend(unreadable) is Outcome.DEAD_LETTERED
        assert bus.dead_letters.counts_by_reason == {"undecodable": 1}

    simulate(scenario)


def test_a_full_mailbox_leaves_a_letter_for_each_message_that_it_refused() -> None:
    async def scenario(cluster: Cluster) -> None:
        (bus,) = await cluster.join("one")
        full = MailboxOptions(capacity=2, overflow=Overflow.REJECT)
        ref = bus.spawn(Worker, name="worker", mailbox=full)
        told = [ref.tell(Note(number)) for number in range(10)]
        outcomes = [await each for each in told]
        refused = outcomes.count(Outcome.DEAD_LETTERED)
        assert refused
        assert bus.dead_letters.counts_by_reason == {"mailbox_full": refused}

    simulate(scenario)


def test_counts_are_exact_from_many_threads() -> None:
    tally = Tally()

    def count() -> None:
        for _ in range(5000):
            tally.add("a")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tally.counts() == {"a": 20_000}
    assert tally.total == 20_000


def test_a_letter_can_be_sent_again_from_a_thread() -> None:
    with Bus() as bus:
        assert bus.ref("worker").tell(Note(5)).get(timeout=5) is Outcome.DEAD_LETTERED
        log: list[str] = []
        bus.spawn(Worker, log, name="worker")
        (letter,) = bus.dead_letters.recent()
        assert letter.resend().get(timeout=5) is Outcome.DELIVERED
        assert "note 5" in log
