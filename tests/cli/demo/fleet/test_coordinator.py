"""The coordinator and its queue among workers that fail in every way, some on buses of their own."""

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
    QueueOptions,
    handles,
)
from agentbus.cli.demo.answers import Answers
from agentbus.cli.demo.chaos import Harm, plan_harm
from agentbus.cli.demo.fleet.coordinator import Coordinator, Plan, Result
from agentbus.cli.demo.fleet.decisions import Decisions
from agentbus.cli.demo.fleet.messages import Digested, DigestFile, Job, Writing
from agentbus.cli.demo.fleet.reporter import Reporter
from agentbus.cli.demo.rank import FileSummary
from agentbus.cli.demo.sources import Limits, Source
from agentbus.runtime import Future


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

    @handles
    def digest(self, task: DigestFile) -> Digested:
        if task.source.path == "broken":
            raise RuntimeError("this worker does not like it")
        return Digested(FileSummary(task.source.path, "T", 1, (), ()), None, 0)


class Stuck(AsyncAgentActor):
    """Takes a file and never answers: its bus is closed under it."""

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
        options = QueueOptions(max_attempts=2, retry_delay=0.01)
        self.queue = self.bus.queue("documents", store="memory://", options=options)
        self.shown = Lines()
        self.reporter = self.bus.spawn(Reporter, self.shown)
        self.result: Future[Result] = Future()
        self.killed: list[str] = []
        self.strikes: list[tuple[bytes, Harm, Callable[[], object]]] = []

    def another_bus(self) -> Bus:
        key = self.bus.credentials_env()["AGENTBUS_KEY"]
        return self._stack.enter_context(Bus(self.bus.url, api_key=key, trust="all"))

    def begin(self, *paths: str, workers: int = 2, chaos: bool = False) -> None:
        plan = Plan(
            job=Job("/nowhere", Limits()),
            answers=Answers([Source(path, "text") for path in paths]),
            queue=self.queue,
            workers=workers,
            harm=plan_harm(len(paths), enabled=chaos),
            kill=self.killed.append,
            harm_at=lambda marker, harm, on_harm: self.strikes.append((marker, harm, on_harm)),
            file_timeout=20.0,
        )
        self.coordinator = self.bus.spawn(Coordinator, plan, self.reporter, self.result)
        self.coordinator.ask(Coordinator.Begin()).get(timeout=10)

    def end(self) -> Result:
        result = self.result.get(timeout=20)
        self.reporter.stop().get(timeout=5)
        return result


@pytest.fixture
def stage() -> Generator[Stage]:
    with ExitStack() as stack:
        yield Stage(stack)


def test_every_file_gets_one_answer(stage: Stage) -> None:
    stage.bus.spawn(Quick, queue="documents")
    stage.another_bus().spawn(Quick, queue="documents")
    stage.begin(*"abcdefg")
    result = stage.end()
    assert sorted(answer.summary.path for answer in result.answers if answer.summary) == list("abcdefg")
    assert result.account.balanced
    assert (result.account.jobs_put, result.account.jobs_acked) == (7, 7)
    assert (result.account.handed_out, result.account.reassigned) == (7, 0)
    assert (stage.shown.done, stage.shown.stopped) == (7, True)


def test_workers_that_come_later_are_given_files(stage: Stage) -> None:
    stage.begin("a", "b")
    stage.another_bus().spawn(Quick, queue="documents")
    assert stage.end().account.balanced


def test_the_file_of_a_worker_that_is_gone_goes_to_another(stage: Stage) -> None:
    got: Future[str] = Future()
    dying = stage.another_bus()
    dying.spawn(Stuck, got, queue="documents")
    stage.begin("a", "b", "c")
    held = got.get(timeout=10)
    dying.close().get(timeout=10)
    stage.bus.spawn(Quick, queue="documents")
    result = stage.end()
    assert result.account.balanced
    assert held in {answer.summary.path for answer in result.answers if answer.summary}
    assert list(result.decisions) == stage.shown.lines


def test_a_file_that_makes_workers_fail_is_set_aside_with_the_reason(stage: Stage) -> None:
    stage.bus.spawn(Quick, queue="documents")
    stage.begin("a", "broken", "c")
    result = stage.end()
    assert result.account.balanced
    assert (result.account.jobs_acked, result.account.set_aside) == (2, 1)
    notes = {answer.note.path: answer.note.problem for answer in result.answers if answer.note}
    assert notes["broken"].startswith("set aside after 2 attempts: ")
    assert "does not like it" in notes["broken"]


def test_harm_comes_to_who_has_the_file_and_is_told_in_words(stage: Stage) -> None:
    got: Future[str] = Future()
    holder = stage.another_bus()
    holder.spawn(Stuck, got, queue="documents")
    stage.begin("a", chaos=True)
    assert [(marker, harm) for marker, harm, _ in stage.strikes] == [
        (b"file #0#", Harm.KILL),
        (b"file #0#", Harm.CUT),
    ]
    got.get(timeout=10)
    for _, _, strike in stage.strikes:
        strike()
    stage.coordinator.ask(Writing("a", "after both")).get(timeout=10)
    stage.bus.spawn(Quick, queue="documents")
    holder.close().get(timeout=10)
    result = stage.end()
    assert stage.killed == [holder.node]
    assert (result.account.workers_killed, result.account.connections_cut) == (1, 1)
    assert any(line.startswith("chaos: killing ") for line in result.decisions)
    assert any(line.startswith("chaos: cut the connection of ") for line in result.decisions)


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
