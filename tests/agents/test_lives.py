"""The restart table of agents, row by row, for agents on the loop and on threads; groups and escalation."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from agentbus.agents import (
    AgentActor,
    AgentDown,
    AgentFailure,
    AgentGaveUp,
    AgentRef,
    AgentRestarting,
    AsyncAgentActor,
    Bus,
    BusEvent,
    ChildLost,
    Outcome,
    Request,
    handles,
)
from agentbus.errors import (
    AgentError,
    AgentFailed,
    AgentRestarted,
    AgentStopped,
    FutureCancelledError,
    MailboxFullError,
    NoSuchAgentError,
)
from agentbus.runtime import (
    Backoff,
    EventStream,
    Future,
    MailboxOptions,
    Overflow,
    RestartMode,
    RestartPolicy,
    Strategy,
)

WAIT = 10.0
AT_ONCE = Backoff(initial_delay=0.0, jitter_ratio=0.0)


def policy(backoff: Backoff = AT_ONCE, **options: Any) -> RestartPolicy:
    return RestartPolicy(mode=RestartMode.RESTART, backoff=backoff, **options)


class CountRestarts(Request[int]):
    """How often were you restarted?"""


class BreakDown(Request[None]):
    why: str = "asked to"


class BreakDownTwice(Request[int]):
    """Fails twice, then says how often it was tried."""


class HoldOn(Request[str]):
    """Answer when the gate opens."""


class HandOn(Request[None]):
    """Ask the agent of that name to hold, and fail."""

    name: str


class StartChild(Request[str]):
    """Start a child of that name."""

    name: str
    detached: bool = False


class Desk:
    """What the test shares with its agents."""

    def __init__(self) -> None:
        self.gate: Future[str] = Future()
        self.holding: Future[str] = Future()
        self.lost: Future[ChildLost] = Future()
        self.asked: Future[Future[Any]] = Future()
        self.tries = 0
        self.escalate = False


class LoopAgent(AsyncAgentActor):
    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    @handles
    async def count(self, _message: CountRestarts) -> int:
        return self.restarts

    @handles
    async def fail(self, message: BreakDown) -> None:
        raise ValueError(message.why)

    @handles
    async def fail_twice(self, _message: BreakDownTwice) -> int:
        self.desk.tries += 1
        if self.desk.tries < 3:
            raise ValueError("not yet")
        return self.desk.tries

    @handles
    async def hold(self, _message: HoldOn) -> str:
        self.desk.holding.try_set(self.name)
        return await self.desk.gate

    @handles
    async def hand_on(self, message: HandOn) -> None:
        self.desk.asked.set(self.bus.ref(message.name).ask(HoldOn()))
        raise ValueError("after asking")

    @handles
    async def start_child(self, message: StartChild) -> str:
        return str(self.spawn(type(self), self.desk, name=message.name, detached=message.detached))

    def on_child_lost(self, lost: ChildLost) -> None:
        self.desk.lost.set(lost)
        if self.desk.escalate:
            raise RuntimeError("not without my child")


class WideAgent(LoopAgent):
    concurrency = 2


class ThreadAgent(AgentActor):
    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    @handles
    def count(self, _message: CountRestarts) -> int:
        return self.restarts

    @handles
    def fail(self, message: BreakDown) -> None:
        raise ValueError(message.why)

    @handles
    def fail_twice(self, _message: BreakDownTwice) -> int:
        self.desk.tries += 1
        if self.desk.tries < 3:
            raise ValueError("not yet")
        return self.desk.tries

    @handles
    def hold(self, _message: HoldOn) -> str:
        self.desk.holding.try_set(self.name)
        return self.desk.gate.get(timeout=WAIT)

    @handles
    def hand_on(self, message: HandOn) -> None:
        self.desk.asked.set(self.bus.ref(message.name).ask(HoldOn()))
        raise ValueError("after asking")

    @handles
    def start_child(self, message: StartChild) -> str:
        return str(self.spawn(type(self), self.desk, name=message.name, detached=message.detached))

    def on_child_lost(self, lost: ChildLost) -> None:
        self.desk.lost.set(lost)
        if self.desk.escalate:
            raise RuntimeError("not without my child")


@pytest.fixture
def bus() -> Generator[Bus]:
    with Bus() as made:
        yield made


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture(params=[LoopAgent, ThreadAgent], ids=["loop", "thread"])
def kind(request: pytest.FixtureRequest) -> type[Any]:
    cls: type[Any] = request.param
    return cls


def next_of(events: EventStream[BusEvent], wanted: type[BusEvent]) -> Any:
    while True:
        event = events.get(timeout=WAIT)
        if isinstance(event, wanted):
            return event


def restarts(ref: AgentRef) -> int:
    return ref.ask(CountRestarts()).get(timeout=WAIT)


# -- the table ----------------------------------------------------------------------------------------------


def test_mailbox_is_kept_and_takes_messages_up_to_its_capacity_while_backing_off(
    bus: Bus, desk: Desk, kind: type[Any]
) -> None:
    events = bus.events.listen()
    ref = bus.spawn(
        kind,
        desk,
        mailbox=MailboxOptions(capacity=2, overflow=Overflow.REJECT),
        supervision=policy(backoff=Backoff(initial_delay=0.5, jitter_ratio=0.0)),
    )
    ref.tell(BreakDown())
    next_of(events, AgentRestarting)
    kept = [ref.ask(CountRestarts()) for _ in range(2)]
    with pytest.raises(MailboxFullError):
        ref.ask(CountRestarts()).get(timeout=WAIT)
    assert [each.get(timeout=WAIT) for each in kept] == [1, 1]


def test_the_message_that_failed_is_dead_lettered_with_its_traceback(
    bus: Bus, desk: Desk, kind: type[Any]
) -> None:
    letters = bus.dead_letters.listen()
    ref = bus.spawn(kind, desk, supervision=policy())
    assert ref.tell(BreakDown("why")).get(timeout=WAIT) is Outcome.DEAD_LETTERED
    letter = letters.get(timeout=WAIT)
    assert (letter.address, letter.message_type, letter.reason) == (str(ref), "BreakDown", "failed")
    assert "raise ValueError(message.why)" in letter.traceback


def test_the_message_that_failed_is_tried_again_as_often_as_retry_poison_says(
    bus: Bus, desk: Desk, kind: type[Any]
) -> None:
    ref = bus.spawn(kind, desk, supervision=policy(retry_poison=2))
    assert ref.ask(BreakDownTwice()).get(timeout=WAIT) == 3
    desk.tries = 0
    once = bus.spawn(kind, desk, supervision=policy(retry_poison=1))
    with pytest.raises(AgentFailed):
        once.ask(BreakDownTwice()).get(timeout=WAIT)


def test_its_asker_gets_agent_failed_and_ask_and_tell_fail_alike(
    bus: Bus, desk: Desk, kind: type[Any]
) -> None:
    events = bus.events.listen()
    ref = bus.spawn(kind, desk, supervision=policy())
    with pytest.raises(AgentFailed) as failed:
        ref.ask(BreakDown("why")).get(timeout=WAIT)
    assert (failed.value.error_type, failed.value.error_message) == ("ValueError", "why")
    ref.tell(BreakDown("why")).get(timeout=WAIT)
    asked, told = (next_of(events, AgentFailure) for _ in range(2))
    assert (asked.address, asked.message_type, asked.error) == (told.address, told.message_type, told.error)
    assert restarts(ref) == 2


def test_askers_of_other_running_handlers_get_agent_restarted(bus: Bus, desk: Desk) -> None:
    ref = bus.spawn(WideAgent, desk, supervision=policy())  # a thread has no other running handlers
    running = ref.ask(HoldOn())
    desk.holding.get(timeout=WAIT)
    ref.tell(BreakDown())
    with pytest.raises(AgentRestarted):
        running.get(timeout=WAIT)


def test_asks_that_the_agent_had_sent_are_cancelled(bus: Bus, desk: Desk, kind: type[Any]) -> None:
    bus.spawn(LoopAgent, desk, name="holder")
    ref = bus.spawn(kind, desk, supervision=policy())
    waiting = ref.ask(HandOn("holder"))
    with pytest.raises(AgentFailed):
        waiting.get(timeout=WAIT)
    with pytest.raises(FutureCancelledError):
        desk.asked.get(timeout=WAIT).get(timeout=WAIT)


def test_children_are_stopped(bus: Bus, desk: Desk, kind: type[Any]) -> None:
    ref = bus.spawn(kind, desk, supervision=policy())
    child = bus.ref(ref.ask(StartChild("child")).get(timeout=WAIT))
    down: Future[AgentDown] = Future()
    child.watch(down.set)
    ref.tell(BreakDown())
    assert down.get(timeout=WAIT).address == str(child)
    with pytest.raises(NoSuchAgentError):
        child.ask(CountRestarts()).get(timeout=WAIT)
    assert restarts(ref) == 1


def test_children_that_are_detached_live_on(bus: Bus, desk: Desk, kind: type[Any]) -> None:
    ref = bus.spawn(kind, desk, supervision=policy())
    child = bus.ref(ref.ask(StartChild("child", detached=True)).get(timeout=WAIT))
    ref.tell(BreakDown())
    assert (restarts(ref), restarts(child)) == (1, 0)


def test_giving_up_answers_queued_asks_tells_the_parent_and_fires_watches(
    bus: Bus, desk: Desk, kind: type[Any]
) -> None:
    events, down = bus.events.listen(), Future[AgentDown]()
    parent = bus.spawn(kind, desk)
    child = bus.ref(parent.ask(StartChild("child")).get(timeout=WAIT))
    child.watch(down.set)
    holding = child.ask(HoldOn())
    desk.holding.get(timeout=WAIT)
    beside = [child.ask(BreakDown("the last")), child.ask(CountRestarts()), child.ask(CountRestarts())]
    desk.gate.set("open")
    assert holding.get(timeout=WAIT) == "open"
    with pytest.raises(AgentFailed):
        beside[0].get(timeout=WAIT)
    for queued in beside[1:]:
        with pytest.raises(AgentStopped):
            queued.get(timeout=WAIT)
    lost = desk.lost.get(timeout=WAIT)
    assert (lost.child.name, str(lost.error)) == ("child", "the last")
    assert down.get(timeout=WAIT).address == str(child)
    assert next_of(events, AgentGaveUp).address == str(child)
    assert restarts(parent) == 0


def test_restarts_have_an_intensity(bus: Bus, desk: Desk, kind: type[Any]) -> None:
    events = bus.events.listen()
    ref = bus.spawn(kind, desk, supervision=policy(intensity=3))
    for _ in range(4):
        ref.tell(BreakDown())
    assert next_of(events, AgentGaveUp).address == str(ref)
    with pytest.raises(AgentError):
        ref.ask(CountRestarts()).get(timeout=WAIT)


def test_a_single_agent_stops_at_its_first_failure_and_replicas_restart(
    bus: Bus, desk: Desk, kind: type[Any]
) -> None:
    single, replicas = bus.spawn(kind, desk), bus.spawn(kind, desk, replicas=2)
    for ref in (single, replicas):
        ref.tell(BreakDown()).get(timeout=WAIT)
    with pytest.raises(AgentError):
        single.ask(CountRestarts()).get(timeout=WAIT)
    assert sorted(restarts(replicas) for _ in range(2)) == [0, 1]


# -- escalation ---------------------------------------------------------------------------------------------


def test_a_parent_that_raises_when_it_loses_a_child_fails_with_it(
    bus: Bus, desk: Desk, kind: type[Any]
) -> None:
    desk.escalate = True
    events = bus.events.listen()
    parent = bus.spawn(kind, desk, supervision=policy())
    child = bus.ref(parent.ask(StartChild("child")).get(timeout=WAIT))
    child.tell(BreakDown())
    assert next_of(events, AgentFailure).address == str(child)
    escalated = next_of(events, AgentFailure)
    assert (escalated.address, escalated.error) == (str(parent), "RuntimeError: not without my child")
    assert restarts(parent) == 1


# -- groups -------------------------------------------------------------------------------------------------


def test_one_for_all_restarts_every_member_each_with_its_mailbox(bus: Bus, desk: Desk) -> None:
    events, group = bus.events.listen(), bus.group(policy(strategy=Strategy.ONE_FOR_ALL))
    members = [bus.spawn(cls, desk, group=group) for cls in (LoopAgent, ThreadAgent, LoopAgent)]
    outsider = bus.spawn(LoopAgent, desk)
    assert [restarts(member) for member in members] == [0, 0, 0]
    members[1].tell(BreakDown())
    assert {next_of(events, AgentRestarting).address for _ in members} == {str(each) for each in members}
    assert [restarts(member) for member in members] == [1, 1, 1]
    assert restarts(outsider) == 0


def test_one_failure_too_many_of_one_member_ends_all(bus: Bus, desk: Desk) -> None:
    events = bus.events.listen()
    group = bus.group(policy(strategy=Strategy.ONE_FOR_ALL, intensity=1))
    members = [bus.spawn(cls, desk, group=group) for cls in (LoopAgent, ThreadAgent)]
    for _ in range(2):
        members[0].tell(BreakDown()).get(timeout=WAIT)
    assert {next_of(events, AgentGaveUp).address for _ in members} == {str(each) for each in members}


def test_one_for_one_shares_the_policy_and_nothing_else(bus: Bus, desk: Desk) -> None:
    group = bus.group(policy())
    first, second = (bus.spawn(LoopAgent, desk, group=group) for _ in range(2))
    first.tell(BreakDown()).get(timeout=WAIT)
    assert (restarts(first), restarts(second)) == (1, 0)


def test_a_member_has_no_policy_of_its_own(bus: Bus, desk: Desk) -> None:
    with pytest.raises(ValueError, match="group"):
        bus.spawn(LoopAgent, desk, group=bus.group(policy()), supervision=policy())
