"""The coordinator among workers that fail in every way, each on a bus of its own over one hub."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import ExitStack

import pytest

from agentbus.agents import (
    AgentActor,
    AsyncAgentActor,
    Bus,
    DeathReason,
    NodeBack,
    NodeDead,
    NodeSuspect,
    ProcessExited,
    ProcessStarted,
    handles,
)
from agentbus.cli.demo.chaos import Chaos
from agentbus.cli.demo.fleet.coordinator import Coordinator, Plan, Result
from agentbus.cli.demo.fleet.decisions import Decisions
from agentbus.cli.demo.fleet.messages import CAPABILITY, Digested, DigestFile, Job
from agentbus.cli.demo.fleet.reporter import Reporter
from agentbus.cli.demo.ledger import Ledger
from agentbus.cli.demo.rank import FileSummary
from agentbus.cli.demo.sources import Limits, Source
from agentbus.runtime import Future, RestartMode, RestartPolicy


class Lines:
    """A progress display that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done = 0
        self.stopped = False

    def line(self, text: str) -> None:
        self.lines.append(text)

    def update(self, done: int, doing: str = "") -> None:
        self.done = done

    def stop(self) -> None:
        self.stopped = True


class Quick(AgentActor):
    """Answers at once."""

    capabilities = (CAPABILITY,)

    @handles
    def digest(self, task: DigestFile) -> Digested:
        if task.source.path == "broken":
            raise RuntimeError("this worker does not like it")
        return Digested(FileSummary(task.source.path, "T", 1, (), ()), None, 0)


class Stuck(AsyncAgentActor):
    """Takes a file and never answers: its bus is closed under it."""

    capabilities = (CAPABILITY,)

    def __init__(self, got: Future[str]) -> None:
        self._got = got

    @handles
    async def digest(self, task: DigestFile) -> Digested:
        self._got.try_set(task.source.path)
        await asyncio.Event().wait()
        raise AssertionError("nothing comes after this")


class Stage:
    """A coordinator and what a test does to its workers."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.bus = stack.enter_context(Bus(listen="127.0.0.1:0"))
        self.shown = Lines()
        self.reporter = self.bus.spawn(Reporter, self.shown)
        self.result: Future[Result] = Future()
        self.killed: list[str] = []
        self.cuts: list[bytes] = []

    def another_bus(self) -> Bus:
        key = self.bus.credentials_env()["AGENTBUS_KEY"]
        return self._stack.enter_context(Bus(self.bus.url, api_key=key, trust="all"))

    def begin(self, *paths: str, workers: int = 2, chaos: bool = False) -> None:
        plan = Plan(
            job=Job("/nowhere", Limits()),
            ledger=Ledger([Source(path, "text") for path in paths]),
            workers=workers,
            chaos=Chaos(len(paths), enabled=chaos),
            kill=self.killed.append,
            cut_at=self._cut_at,
            file_timeout=20.0,
        )
        coordinator = self.bus.spawn(Coordinator, plan, self.reporter, self.result)
        coordinator.ask(Coordinator.Begin()).get(timeout=10)

    def _cut_at(self, marker: bytes, on_cut: Callable[[], object]) -> None:
        self.cuts.append(marker)
        on_cut()

    def end(self) -> Result:
        result = self.result.get(timeout=20)
        self.reporter.stop().get(timeout=5)
        return result


@pytest.fixture
def stage() -> Generator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack)


def test_every_file_gets_one_answer(stage: Stage) -> None:
    stage.bus.spawn(Quick)
    stage.another_bus().spawn(Quick)
    stage.begin(*"abcdefg")
    result = stage.end()
    assert sorted(answer.summary.path for answer in result.answers if answer.summary) == list("abcdefg")
    assert result.account.balanced
    assert (result.account.handed_out, result.account.reassigned) == (7, 0)
    assert (stage.shown.done, stage.shown.stopped) == (7, True)


def test_workers_that_come_later_are_found(stage: Stage) -> None:
    stage.begin("a", "b")
    stage.another_bus().spawn(Quick)
    assert stage.end().account.balanced


def test_files_of_a_worker_that_is_gone_go_to_another(stage: Stage) -> None:
    got: Future[str] = Future()
    dying = stage.another_bus()
    dying.spawn(Stuck, got)
    stage.bus.wait_for(capability=CAPABILITY).get(timeout=10)
    stage.begin("a", "b", "c")
    held = got.get(timeout=10)
    stage.bus.spawn(Quick)
    dying.close().get(timeout=10)
    result = stage.end()
    assert result.account.balanced
    assert result.account.reassigned >= 1
    assert any(line.startswith(f"coordinator: {held} was with") for line in result.decisions)
    assert list(result.decisions) == stage.shown.lines


def test_a_file_that_makes_a_worker_fail_is_set_aside_with_the_reason(stage: Stage) -> None:
    stage.bus.spawn(Quick, supervision=RestartPolicy(mode=RestartMode.RESTART))
    stage.begin("a", "broken", "c")
    result = stage.end()
    assert result.account.balanced
    notes = {answer.note.path: answer.note.problem for answer in result.answers if answer.note}
    assert "does not like it" in notes["broken"]


def test_chaos_harms_who_holds_a_file_and_is_told_in_words(stage: Stage) -> None:
    stage.bus.spawn(Quick)
    stage.begin(*"abcdefgh", chaos=True)
    result = stage.end()
    assert stage.killed == [stage.bus.node]
    assert result.account.workers_killed == 1
    assert any(line.startswith("chaos: killing ") for line in result.decisions)


def test_when_the_supervisor_gives_up_on_all_the_rest_is_lost_and_said(stage: Stage) -> None:
    stage.begin("a", "b", workers=2)
    for place in (0, 1):
        stage.bus.report(ProcessStarted(place, 100 + place, f"n{place}"))
        stage.bus.report(ProcessExited(place, 100 + place, f"n{place}", -9, None))
    result = stage.end()
    assert (result.account.lost, result.account.balanced) == (2, False)
    assert result.decisions[-1] == "supervisor: worker 1 (process 101) was ended by SIGKILL; it stays down"


def test_decisions_name_workers_by_their_place() -> None:
    decisions = Decisions()
    assert decisions.describe(NodeSuspect("n1", "i")) is None  # none of the fleet
    assert decisions.describe(ProcessStarted(3, 77, "n1")) == "supervisor: worker 3 runs (process 77)"
    lines = [
        decisions.describe(event)
        for event in (
            NodeSuspect("n1", "i"),
            NodeBack("n1", "i"),
            NodeDead("n1", "i", DeathReason.EXITED),
            ProcessExited(3, 77, "n1", 1, 0.25),
            ProcessExited(3, 77, "n1", -250, None),
        )
    ]
    assert lines == [
        "membership: worker 3 is out of touch, not dead: its work stays with it",
        "membership: worker 3 is back and goes on where it was",
        "membership: worker 3 is dead (exited); whoever asked it is told",
        "supervisor: worker 3 (process 77) ended with exit code 1; another one in 0.2 s",
        "supervisor: worker 3 (process 77) was ended by signal 250; it stays down",
    ]
    assert decisions.name("n1") == "worker 3"
