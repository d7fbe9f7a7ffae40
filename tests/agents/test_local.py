"""Agents of one bus: hooks, context, supervision and the restart table, on one virtual loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pykka
import pytest

from agentbus.agents.agent import AgentActor, AsyncAgentActor, ChildLost
from agentbus.agents.bus import Bus
from agentbus.agents.events import (
    AgentEnded,
    AgentFailure,
    AgentGaveUp,
    AgentProgress,
    AgentRestarting,
    AgentStarted,
)
from agentbus.agents.handlers import handles
from agentbus.agents.message import Message, Request
from agentbus.agents.outcome import Outcome
from agentbus.agents.ref import AgentRef
from agentbus.agents.watching import AgentDown
from agentbus.errors import (
    AgentError,
    AgentFailed,
    AgentRestarted,
    AgentStopped,
    AskTimeoutError,
    FutureCancelledError,
    InvalidNameError,
    MailboxFullError,
    NoSuchAgentError,
    UnhandledMessageError,
)
from agentbus.runtime import (
    Backoff,
    Future,
    MailboxOptions,
    Overflow,
    RestartMode,
    RestartPolicy,
    virtual_sleep,
)
from tests.agents.agents import Echo, Fail, Look, Note, NotHereError, Sleep, Text, Unknown, WhoSent, Worker
from tests.agents.cluster import Cluster, post_of, simulate

AT_ONCE = Backoff(initial_delay=0.0, jitter_ratio=0.0)
RESTART = RestartPolicy(mode=RestartMode.RESTART, backoff=AT_ONCE)


class Early(Request[str]):
    pass


class Spawn(Request[str]):
    detached: bool = False


class Forward(Request[Any]):
    seconds: float


class Parent(AsyncAgentActor):
    def __init__(self, log: list[str]) -> None:
        self.log = log

    @handles
    async def early(self, _message: Early) -> str:
        self.reply("early")
        self.progress("half", done=0.5)
        await virtual_sleep(1)
        self.log.append("after the reply")
        return "ignored"

    @handles
    async def start_child(self, message: Spawn) -> str:
        child = self.spawn(Worker, self.log, name=f"{self.name}.child", detached=message.detached)
        return str(child)

    @handles
    async def fail(self, message: Fail) -> None:
        raise RuntimeError(message.why)

    @handles
    async def forward(self, message: Forward) -> Any:
        return await self.bus.ref("worker").ask(Sleep(message.seconds))

    def on_child_lost(self, lost: ChildLost) -> None:
        self.log.append(f"lost {lost.child.name}: {lost.error}")


async def one(cluster: Cluster) -> Bus:
    (bus,) = await cluster.join("a")
    return bus


# -- messages -----------------------------------------------------------------------------------------------


def test_the_very_object_that_was_sent_arrives() -> None:
    class Keeper(AsyncAgentActor):
        @handles
        async def keep(self, message: Note) -> int:
            return id(message)

    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        note = Note(1)
        assert await bus.spawn(Keeper).ask(note) == id(note)

    simulate(scenario)


def test_typed_requests_hooks_and_stop() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        log: list[str] = []
        ref = bus.spawn(Worker, log, name="w")
        reply: Text = await ref.ask(Echo("x"))
        assert reply.text == "x"
        told = ref.tell(Note(1))
        assert await ref.stop() is True
        assert await told is Outcome.DELIVERED
        assert log == ["start w", "note 1", "stop w"]
        kinds = [type(event) for event in cluster.events["a"]]
        assert AgentStarted in kinds
        assert AgentEnded in kinds

    simulate(scenario)


def test_what_is_no_message_of_its_own_is_refused_and_harms_nobody() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Worker)
        with pytest.raises(UnhandledMessageError):
            await ref.ask(Unknown())
        assert await ref.tell(Unknown()) is Outcome.DEAD_LETTERED
        assert await ref.ask(Echo("alive")) == Text("alive")
        assert not cluster.seen("a", AgentFailure)

    simulate(scenario)


def test_a_declared_exception_is_a_reply_and_no_failure() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Worker)
        with pytest.raises(NotHereError, match="key"):
            await ref.ask(Look("key"))
        assert await ref.tell(Look("key")) is Outcome.DELIVERED
        assert await ref.ask(Echo("alive")) == Text("alive")
        assert bus.dead_letters.count == 0

    simulate(scenario)


def test_a_reply_may_come_before_the_end_and_progress_is_an_event() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        log: list[str] = []
        ref = bus.spawn(Parent, log, name="p")
        assert await ref.ask(Early()) == "early"
        assert log == []
        await virtual_sleep(2)
        assert log == ["after the reply"]
        assert cluster.seen("a", AgentProgress) == [AgentProgress("default/a/p", "half", 0.5)]

    simulate(scenario)


def test_the_context_of_a_message_is_there_in_handlers_only() -> None:
    class Curious(AsyncAgentActor):
        def __init__(self) -> None:
            self.at_start = (self.name, self.bus.node, self.restarts)

        @handles
        async def look(self, _message: WhoSent) -> list[Any]:
            await virtual_sleep(0.5)
            left = self.time_left
            return [*self.at_start, self.sender is None, left is not None and 0 < left < 2, self.cancelled]

        def on_stop(self) -> None:
            assert self.deadline is None

    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Curious, name="c")
        assert await ref.ask(WhoSent(), timeout=2) == ["c", "a", 0, True, True, False]
        assert await ref.ask(WhoSent()) == ["c", "a", 0, True, False, False]
        agent = Curious.__new__(Curious)
        with pytest.raises(AgentError, match="in a handler"):
            _ = agent.sender

    simulate(scenario)


def test_one_message_at_a_time_unless_it_asks_for_more() -> None:
    class Wide(Worker):
        concurrency = 3

    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        for kind, seconds in ((Worker, 6.0), (Wide, 2.0)):
            ref = bus.spawn(kind)
            start = cluster.loop.time()
            asks = [ref.ask(Sleep(2)) for _ in range(3)]
            for ask in asks:
                await ask
            assert cluster.loop.time() - start == pytest.approx(seconds)

    simulate(scenario)


def test_deadlines_cancellation_and_late_work_here() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        log: list[str] = []
        ref = bus.spawn(Worker, log, name="w")
        busy = ref.ask(Sleep(5))
        with pytest.raises(AskTimeoutError):
            await ref.ask(Sleep(1), timeout=1)
        assert await ref.tell(Note(1), timeout=1) is Outcome.EXPIRED
        await busy
        slow = ref.ask(Sleep(100))
        await virtual_sleep(1)
        assert slow.cancel()
        with pytest.raises(FutureCancelledError):
            await slow
        assert await ref.ask(Echo("free again")) == Text("free again")
        assert "begin 1" not in log
        assert "done 100" not in log

    simulate(scenario)


def test_a_full_mailbox_that_rejects_says_so() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Worker, mailbox=MailboxOptions(capacity=2, overflow=Overflow.REJECT))
        busy = ref.ask(Sleep(1))
        await virtual_sleep(0.1)
        told = [ref.tell(Note(number)) for number in range(4)]
        with pytest.raises(MailboxFullError):
            await ref.ask(Echo("x"))
        assert [await outcome for outcome in told] == [Outcome.DELIVERED] * 2 + [Outcome.DEAD_LETTERED] * 2
        await busy
        assert bus.dead_letters.count == 2

    simulate(scenario)


def test_dropped_messages_have_an_outcome_and_a_letter() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        letters = bus.dead_letters.listen()
        ref = bus.spawn(Worker, name="w", mailbox=MailboxOptions(capacity=1, overflow=Overflow.DROP_OLDEST))
        busy = ref.ask(Sleep(1))
        await virtual_sleep(0.1)
        told = [ref.tell(Note(number)) for number in range(3)]
        await busy
        assert [await each for each in told] == [Outcome.DEAD_LETTERED] * 2 + [Outcome.DELIVERED]
        letter = letters.get(0)
        assert (letter.address, letter.message_type, letter.reason) == (
            "default/a/w",
            "Note",
            "dropped_oldest",
        )
        assert letter.message == Note(0)

    simulate(scenario)


# -- the restart table --------------------------------------------------------------------------------------


def test_a_root_stops_at_its_first_failure_visibly() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        letters = bus.dead_letters.listen()
        seen: list[AgentDown] = []
        ref = bus.spawn(Worker, name="w")
        ref.watch(seen.append)
        with pytest.raises(AgentFailed) as failed:
            await ref.ask(Fail("bad luck"))
        assert failed.value.error_type == "ValueError"
        await cluster.until(lambda: bool(seen))
        (failure,) = cluster.seen("a", AgentFailure)
        assert (failure.address, failure.message_type, failure.error) == (
            "default/a/w",
            "Fail",
            "ValueError: bad luck",
        )
        assert "raise ValueError" in failure.traceback
        assert len(cluster.seen("a", AgentGaveUp)) == 1
        letter = letters.get(0)
        assert letter.reason == "failed"
        assert "raise ValueError" in letter.traceback
        with pytest.raises(NoSuchAgentError):
            await ref.ask(Echo("gone"))

    simulate(scenario)


def test_a_restart_keeps_address_and_mailbox_and_loses_only_what_failed() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        log: list[str] = []
        ref = bus.spawn(Worker, log, name="w", supervision=RESTART)
        outcomes = [ref.tell(message) for message in (Note(1), Fail(), Note(2))]
        assert [await outcome for outcome in outcomes] == [
            Outcome.DELIVERED,
            Outcome.DEAD_LETTERED,
            Outcome.DELIVERED,
        ]
        assert log == ["start w", "note 1", "start w", "note 2"]
        assert len(cluster.seen("a", AgentRestarting)) == 1

    simulate(scenario)


def test_askers_of_other_running_handlers_get_agent_restarted() -> None:
    class Wide(Worker):
        concurrency = 2

    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Wide, supervision=RESTART)
        running = ref.ask(Sleep(60))
        await virtual_sleep(1)
        ref.tell(Fail())
        with pytest.raises(AgentRestarted):
            await running
        assert await ref.ask(Echo("again")) == Text("again")

    simulate(scenario)


def test_asks_that_a_restarted_agent_had_sent_are_cancelled() -> None:
    class Wide(Parent):
        concurrency = 2

    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        log: list[str] = []
        bus.spawn(Worker, log, name="worker")
        ref = bus.spawn(Wide, log, supervision=RESTART)
        waiting = ref.ask(Forward(60))
        await cluster.until(lambda: "begin 60" in log)
        ref.tell(Fail())
        with pytest.raises(AgentRestarted):
            await waiting
        assert await bus.ref("worker").ask(Echo("free")) == Text("free")
        assert "done 60" not in log

    simulate(scenario)


@pytest.mark.parametrize("detached", [False, True])
def test_children_stop_with_a_restart_unless_detached(detached: bool) -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        log: list[str] = []
        ref = bus.spawn(Parent, log, name="p", supervision=RESTART)
        child = bus.ref(await ref.ask(Spawn(detached)))
        assert child.name == "p.child"
        assert await ref.tell(Fail()) is Outcome.DEAD_LETTERED
        await virtual_sleep(1)
        if detached:
            assert await child.ask(Echo("x")) == Text("x")
        else:
            with pytest.raises(NoSuchAgentError):
                await child.ask(Echo("x"))
            assert log == ["start p.child", "stop p.child"]

    simulate(scenario)


def test_children_stop_with_their_parent() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Parent, [], name="p")
        child = bus.ref(await ref.ask(Spawn()))
        assert bus.find(name=child.name) == [child]
        await ref.stop()
        await cluster.until(lambda: not bus.find(name=child.name), within=1)
        assert bus.find() == []

    simulate(scenario)


def test_a_parent_is_told_of_a_child_that_gave_up() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        log: list[str] = []
        ref = bus.spawn(Parent, log, name="p")
        child = bus.ref(await ref.ask(Spawn()))
        await child.tell(Fail("child's luck"))
        await cluster.until(lambda: "lost p.child: child's luck" in log, within=1)
        assert await ref.ask(Early()) == "early"

    simulate(scenario)


def test_giving_up_answers_every_queued_ask_typed() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        policy = RestartPolicy(mode=RestartMode.RESTART, intensity=1, backoff=AT_ONCE)
        ref = bus.spawn(Worker, supervision=policy)
        asks: list[Future[Any]] = [ref.ask(Fail()), ref.ask(Fail()), ref.ask(Echo("x")), ref.ask(Echo("y"))]
        told = ref.tell(Note(1))
        for ask in asks[:2]:
            with pytest.raises(AgentFailed):
                await ask
        for ask in asks[2:]:
            with pytest.raises(AgentStopped):
                await ask
        assert await told is Outcome.DEAD_LETTERED
        (gave_up,) = cluster.seen("a", AgentGaveUp)
        assert gave_up.error == "ValueError: asked to"

    simulate(scenario)


def test_poison_is_tried_again_if_asked_for() -> None:
    class Second(AsyncAgentActor):
        tries = 0

        @handles
        async def note(self, message: Note) -> int:
            Second.tries += 1
            if Second.tries < 3:
                raise ValueError("not yet")
            return message.number

    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        policy = RestartPolicy(mode=RestartMode.RESTART, backoff=AT_ONCE, retry_poison=2)
        assert await bus.spawn(Second, supervision=policy).ask(Note(7)) == 7

    simulate(scenario)


def test_replicas_restart_by_default_and_share_the_work() -> None:
    class Named(AsyncAgentActor):
        @handles
        async def who(self, _message: WhoSent) -> str:
            return self.name

        @handles
        async def fail(self, _message: Fail) -> None:
            raise ValueError

    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        group = bus.spawn(Named, name="n", replicas=3)
        assert [await group.ask(WhoSent()) for _ in range(4)] == ["n#1", "n#2", "n#3", "n#1"]
        await bus.ref("n#2").tell(Fail())
        assert sorted({await group.ask(WhoSent()) for _ in range(6)}) == ["n#1", "n#2", "n#3"]
        await bus.ref("n#2").stop()
        assert {await group.ask(WhoSent()) for _ in range(6)} == {"n#1", "n#3"}
        assert len(bus.find(name="n")) == 1
        assert await group.stop() is True
        assert bus.find(name="n") == []

    simulate(scenario)


# -- spawning -----------------------------------------------------------------------------------------------


def test_what_cannot_be_spawned_is_refused_early() -> None:
    class Neither(Message):
        pass

    class BothAsync(AgentActor):
        @handles
        async def note(self, message: Note) -> None: ...

    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        bus.spawn(Worker, name="taken")
        with pytest.raises(ValueError, match="taken"):
            bus.spawn(Worker, name="taken")
        with pytest.raises(TypeError, match="can't be spawned"):
            bus.spawn(Neither)
        with pytest.raises(TypeError, match="AsyncAgentActor"):
            bus.spawn(BothAsync)
        with pytest.raises(ValueError, match="at least one"):
            bus.spawn(Worker, replicas=0)
        with pytest.raises(InvalidNameError):
            bus.spawn(Worker, name="x" * 300)
        with pytest.raises(InvalidNameError):
            bus.ref("a/b/c/d")

    simulate(scenario)


def test_replicas_of_which_one_s_name_is_taken_leave_nothing_behind() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        taken = bus.spawn(Worker, name="w#2")
        with pytest.raises(ValueError, match="'w#2'"):
            bus.spawn(Worker, name="w", replicas=3)
        assert bus.find() == [taken]
        await taken.stop()
        group = bus.spawn(Worker, name="w", replicas=3)
        assert bus.find() == [group]

    simulate(scenario)


class Unmade(Worker):
    def __init__(self) -> None:
        raise OSError("no disk")


def test_a_constructor_that_raises_is_a_failure_of_the_agent() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Unmade, name="w")
        with pytest.raises((AgentStopped, NoSuchAgentError)):
            await ref.ask(Echo("x"))
        assert "OSError: no disk" in cluster.seen("a", AgentFailure)[0].error
        assert bus.find(name="w") == []

    simulate(scenario)


def test_a_plain_pykka_actor_is_spawned_as_it_is() -> None:
    class Plain(pykka.ThreadingActor):
        def __init__(self, greeting: str) -> None:
            super().__init__()
            self.greeting = greeting
            self.heard: list[Any] = []

        def on_receive(self, message: Any) -> Any:
            if message == "stop":
                self.stop()
            if message == "fail":
                raise ValueError(message)
            self.heard.append(message)
            return f"{self.greeting} {message}"

    async def scenario(cluster: Cluster) -> None:
        a, b = await cluster.join("a", "b")
        ref = a.spawn(Plain, "hello", name="plain", supervision=RESTART)
        assert await ref.ask("world") == "hello world"
        assert await b.ref("a/plain").ask(["plain", "json"]) == "hello ['plain', 'json']"
        assert await b.ref("a/plain").ask(Note(3)) == "hello Note(number=3)"
        with pytest.raises(AgentFailed):
            await ref.ask("fail")
        assert await ref.ask("again") == "hello again"
        ref.tell("stop")
        await cluster.until(lambda: not a.find(name="plain"))

    simulate(scenario)


def test_refs_print_compare_and_hash_as_their_address() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Worker, name="odd/name")
        assert str(ref) == "default/a/odd%2Fname"
        assert bus.ref(str(ref)) == ref
        assert {ref, bus.ref("a/odd%2Fname"), bus.ref("odd%2Fname")} == {ref}
        assert ref != str(ref)
        assert repr(ref) == "<AgentRef default/a/odd%2Fname>"
        assert isinstance(ref, AgentRef)
        assert (ref.name, ref.node, ref.is_local) == ("odd/name", "a", True)

    simulate(scenario)


def test_many_timed_out_asks_leave_nothing() -> None:
    async def scenario(cluster: Cluster) -> None:
        bus = await one(cluster)
        ref = bus.spawn(Worker)
        busy = ref.ask(Sleep(10))
        deadlines = post_of(bus).deadlines
        asks = [ref.ask(Echo("x"), timeout=1).quiet() for _ in range(20_000)]
        await busy
        assert all(isinstance(ask.exception(), AskTimeoutError) for ask in asks)
        assert len(deadlines) == 0
        for _ in range(5000):
            await ref.ask(Echo("x"), timeout=1000)
        assert len(deadlines) < 2100
        await asyncio.sleep(0)

    simulate(scenario)
