"""Agents in processes of their own: real processes, kept few, as each takes half a second to start."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from pathlib import Path
from random import Random
from typing import Any

import pykka
import pytest

from agentbus.agents import (
    AgentDown,
    AgentEnded,
    AgentFailure,
    AgentGaveUp,
    AgentProgress,
    AgentRef,
    AgentStalled,
    AsyncAgentActor,
    Bus,
    BusEvent,
    ChildLost,
    MemoryStore,
    Outcome,
    ProcessExited,
    ProcessStarted,
    Request,
    SqliteStore,
    handles,
)
from agentbus.errors import AgentError, AgentFailed, BodyTooLargeError, UnhandledMessageError
from agentbus.runtime import Backoff, EventStream, Future, RestartMode, RestartPolicy, SystemClock
from tests.agents.agents import NotHereError
from tests.agents.cluster import Cluster, simulate
from tests.agents.process_agents import (
    AskThere,
    AsyncPrisoner,
    Crash,
    Increase,
    Prisoner,
    Quit,
    Raise,
    Repeat,
    Spin,
    Strange,
    WhereAmI,
    Witness,
)

WAIT = 30.0
RESTART = RestartPolicy(
    mode=RestartMode.RESTART, intensity=1000, backoff=Backoff(initial_delay=0.01, max_delay=0.01)
)
pytestmark = pytest.mark.e2e


@pytest.fixture
def bus() -> Generator[Bus]:
    with Bus() as made:
        yield made


def next_of(events: EventStream[BusEvent], kind: type[BusEvent]) -> Any:
    while True:
        event = events.get(timeout=WAIT)
        if isinstance(event, kind):
            return event


def process_of(ref: AgentRef) -> int:
    return int(ref.ask(WhereAmI()).get(timeout=WAIT)[0])


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


class SpawnInProcess(Request[str]):
    """Start a child in a process."""


class Parent(AsyncAgentActor):
    def __init__(self, lost: Future[str]) -> None:
        self.lost = lost

    @handles
    def start_child(self, _message: SpawnInProcess) -> str:
        return str(self.spawn(Prisoner, name="child", process=True))

    def on_child_lost(self, lost: ChildLost) -> None:
        self.lost.set(f"{lost.child.name}: {lost.error}")


# -- the same as anywhere -----------------------------------------------------------------------------------


def test_it_runs_elsewhere_under_the_same_address_and_is_found_once(bus: Bus) -> None:
    ref = bus.spawn(Prisoner, 5, name="p", process=True)
    where, address, sender = ref.ask(WhereAmI()).get(timeout=WAIT)
    assert int(where) != os.getpid()
    assert (address, sender) == (str(ref), "None")
    assert bus.find(capability="prison") == [ref]
    assert ref.ask(Increase(3)).get(timeout=WAIT) == 8
    assert ref.tell(Increase(1)).get(timeout=WAIT) is Outcome.DELIVERED
    with pytest.raises(NotHereError, match="gone"):
        ref.ask(Raise("gone", declared=True)).get(timeout=WAIT)
    with pytest.raises(UnhandledMessageError):
        ref.ask(Strange()).get(timeout=WAIT)
    assert ref.tell(Strange()).get(timeout=WAIT) is Outcome.DEAD_LETTERED
    assert ref.ask(Increase(1)).get(timeout=WAIT) == 10


def test_other_nodes_reach_it_as_any_other_agent() -> None:
    with Bus(listen="127.0.0.1:0") as here:
        ref = here.spawn(Prisoner, name="p", process=True)
        with Bus(here.url, api_key=here.credentials_env()["AGENTBUS_KEY"], trust="all") as there:
            (found,) = there.wait_for(name="p").get(timeout=WAIT)
            assert str(found) == str(ref)
            assert found.ask(Increase(2)).get(timeout=WAIT) == 2
            with pytest.raises(AgentFailed, match="ValueError: over there"):
                found.ask(Raise("over there")).get(timeout=WAIT)


def test_a_failure_is_the_failure_of_the_agent_and_a_new_process_follows(bus: Bus) -> None:
    events = bus.events.listen()
    ref = bus.spawn(Prisoner, name="p", process=True, supervision=RESTART)
    first = process_of(ref)
    failing, queued = ref.ask(Raise("why")), ref.ask(WhereAmI())
    with pytest.raises(AgentFailed) as failed:
        failing.get(timeout=WAIT)
    assert (failed.value.error_type, failed.value.error_message) == ("ValueError", "why")
    failure = next_of(events, AgentFailure)
    assert (failure.message_type, failure.error) == ("Raise", "ValueError: why")
    assert "process_agents.py" in failure.traceback
    assert int(queued.get(timeout=WAIT)[0]) != first
    assert ref.tell(Raise("told")).get(timeout=WAIT) is Outcome.DEAD_LETTERED


def test_an_exit_is_a_failure_that_names_status_or_signal(bus: Bus) -> None:
    events = bus.events.listen()
    ref = bus.spawn(Prisoner, name="p", process=True, supervision=RESTART)
    with pytest.raises(AgentFailed, match="exit status 7"):
        ref.ask(Crash(7)).get(timeout=WAIT)
    assert next_of(events, ProcessExited).exit_code == 7
    os.kill(process_of(ref), signal.SIGKILL)
    next_of(events, AgentFailure)
    idle = next_of(events, AgentFailure)
    assert (idle.message_type, idle.error) == (
        "",
        "ProcessExitedError: the agent's process was killed by SIGKILL",
    )
    assert ref.ask(Increase(1)).get(timeout=WAIT) == 1


def test_giving_up_fires_watches_and_answers_who_waits(bus: Bus) -> None:
    events, down = bus.events.listen(), Future[AgentDown]()
    ref = bus.spawn(Prisoner, name="p", process=True)
    ref.watch(down.set)
    crashing, queued = ref.ask(Crash(1)), ref.ask(Increase(1))
    for future in (crashing, queued):
        with pytest.raises(AgentError):
            future.get(timeout=WAIT)
    assert next_of(events, AgentGaveUp).address == str(ref)
    assert down.get(timeout=WAIT).address == str(ref)
    assert bus.find(name="p") == []


def test_a_constructor_that_raises_is_a_failure_with_its_traceback(bus: Bus) -> None:
    events = bus.events.listen()
    bus.spawn(Prisoner, fail_at_start=True, name="p", process=True)
    failure = next_of(events, AgentFailure)
    assert failure.error == "RuntimeError: not today"
    assert next_of(events, AgentGaveUp)


def test_a_child_in_a_process_belongs_to_its_parent(bus: Bus) -> None:
    lost: Future[str] = Future()
    child = bus.ref(bus.spawn(Parent, lost, name="parent").ask(SpawnInProcess()).get(timeout=WAIT))
    with pytest.raises(AgentError):
        child.ask(Crash(5)).get(timeout=WAIT)
    assert "exit status 5" in lost.get(timeout=WAIT)


def test_stopping_ends_the_process_in_good_order(bus: Bus) -> None:
    exits, endings = bus.events.listen(), bus.events.listen()
    ref = bus.spawn(Prisoner, name="p", process=True)
    process_id = process_of(ref)
    assert ref.stop().get(timeout=WAIT)
    assert next_of(exits, ProcessExited).exit_code == 0
    assert next_of(endings, AgentEnded).address == str(ref)
    assert not is_running(process_id)


def test_an_agent_that_stops_itself_has_not_failed(bus: Bus) -> None:
    events = bus.events.listen()
    bus.spawn(Prisoner, name="p", process=True, supervision=RESTART).tell(Quit())
    while not isinstance(event := events.get(timeout=WAIT), AgentEnded):
        assert not isinstance(event, AgentFailure)


def test_a_process_that_others_terminate_is_a_failure(bus: Bus) -> None:
    events = bus.events.listen()
    ref = bus.spawn(Prisoner, name="p", process=True, supervision=RESTART)
    os.kill(process_of(ref), signal.SIGTERM)
    assert next_of(events, AgentFailure).error.endswith("ended with exit status 0")
    assert process_of(ref)


# -- what only a process can --------------------------------------------------------------------------------


def test_a_stall_kills_the_process_and_marks_keep_it_alive(bus: Bus) -> None:
    events = bus.events.listen()
    ref = bus.spawn(
        Prisoner, name="p", process=True, stall_timeout=0.4, on_stall="restart", supervision=RESTART
    )
    first = process_of(ref)
    assert ref.ask(Spin(0.8, marks=True)).get(timeout=WAIT) == first
    progress = next_of(events, AgentProgress)
    assert (progress.address, progress.done) == (str(ref), 0.0)
    with pytest.raises(AgentFailed, match="no progress"):
        ref.ask(Spin(60.0)).get(timeout=WAIT)
    assert next_of(events, AgentStalled).restarting
    assert process_of(ref) != first
    assert not is_running(first)


def test_cancelling_an_ask_reaches_the_handler(bus: Bus) -> None:
    ref = bus.spawn(Prisoner, name="p", process=True)
    spinning = ref.ask(Spin(60.0))
    process_of_other = ref.ask(WhereAmI())
    spinning.cancel()
    assert process_of_other.get(timeout=WAIT)


@pytest.mark.parametrize("listens", [False, True])
def test_the_agent_has_the_bus_and_speaks_as_itself(listens: bool) -> None:
    with Bus(listen="127.0.0.1:0" if listens else None) as bus:
        witness = bus.spawn(Witness, name="w")
        ref = bus.spawn(AsyncPrisoner, name="p", process=True)
        assert ref.ask(AskThere(str(witness))).get(timeout=WAIT) == ["here", str(witness), str(ref)]
        assert sorted(each.name for each in bus.find()) == ["p", "w"]


def test_the_agent_joins_a_hub_of_somebody_else_with_the_parent_s_credential() -> None:
    with Bus(listen="127.0.0.1:0") as hub:
        key = hub.credentials_env()["AGENTBUS_KEY"]
        witness = hub.spawn(Witness, name="w")
        with Bus(hub.url, api_key=key, trust="all") as bus:
            ref = bus.spawn(AsyncPrisoner, name="p", process=True)
            assert ref.ask(AskThere(str(witness))).get(timeout=WAIT)[0] == "here"


def test_what_cannot_go_to_a_process_is_refused_at_once(bus: Bus) -> None:
    class Local(Prisoner):
        pass

    def refused(kind: type[Exception], match: str, cls: type[Any], *args: Any, **options: Any) -> None:
        with pytest.raises(kind, match=match):
            bus.spawn(cls, *args, process=True, **options)

    refused(TypeError, "import", Local)
    refused(TypeError, "pickle", Prisoner, threading.Lock())
    refused(ValueError, "SqliteStore", Prisoner, name="p", store=MemoryStore())
    refused(TypeError, "pykka", pykka.ThreadingActor)

    async def scenario(cluster: Cluster) -> None:
        (simulated,) = await cluster.join("a")
        with pytest.raises(ValueError, match="virtual time"):
            simulated.spawn(Prisoner, process=True)

    simulate(scenario)


def test_what_no_frame_takes_is_refused_in_both_directions(bus: Bus) -> None:
    ref = bus.spawn(Prisoner, name="p", process=True)
    assert ref.ask(Repeat("ab", 3)).get(timeout=WAIT) == "ababab"
    for message in (Repeat("a" * 17_000_000, 1), Repeat("a" * 1000, 17_000)):
        with pytest.raises(BodyTooLargeError):
            ref.ask(message).get(timeout=WAIT)
    assert ref.ask(Increase(1)).get(timeout=WAIT) == 1


# -- kill -9 ------------------------------------------------------------------------------------------------


def kill_at_random(bus: Bus, store: SqliteStore, kills: int, seed: int, at_most: float) -> None:
    """Kill the process of a stored agent at random moments while it adds; then compare."""
    end = SystemClock.monotonic() + at_most
    random, events = Random(seed), bus.events.listen(capacity=100_000)
    ref = bus.spawn(Prisoner, name="ledger", process=True, store=store, supervision=RESTART)
    acknowledged = 0
    for turn in range(kills):
        if SystemClock.monotonic() > end:
            kills = turn
            break
        started = next_of(events, ProcessStarted)
        acknowledged += _add(ref, f"{turn}-first")
        timer = threading.Timer(random.uniform(0.0, 0.02), os.kill, (started.process_id, signal.SIGKILL))
        timer.start()
        number = 0
        while timer.is_alive() or is_running(started.process_id):
            acknowledged += _add(ref, f"{turn}-{number}")
            number += 1
        timer.join()
    assert ref.ask(Increase(0)).get(timeout=WAIT) == acknowledged
    assert acknowledged >= kills > 0


def _add(ref: AgentRef, key: str) -> int:
    """Increase one, and send it again under the same key until it is acknowledged."""
    while True:
        try:
            ref.ask(Increase(1), key=key).get(timeout=WAIT)
        except AgentError:
            continue
        return 1


def test_after_random_kills_the_state_is_what_was_acknowledged(bus: Bus, tmp_path: Path) -> None:
    kill_at_random(bus, SqliteStore(tmp_path / "state.db"), kills=10, seed=1, at_most=8.0)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_after_two_hundred_random_kills_the_state_is_what_was_acknowledged(bus: Bus, tmp_path: Path) -> None:
    kill_at_random(bus, SqliteStore(tmp_path / "state.db"), kills=200, seed=2, at_most=580.0)
