"""The order of a cell's life, without loops, threads or time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentbus.runtime.cell_events import CellState
from agentbus.runtime.cell_life import (
    Clear,
    Ending,
    Failure,
    Interrupted,
    Pause,
    Run,
    Serve,
    SiblingFailure,
    Step,
    StopRequest,
    live,
)
from agentbus.runtime.supervision import GiveUp, Restart

OOPS = ValueError("oops")


class Cell:
    """A cell whose every answer is written down beforehand, and whose every question is noted."""

    def __init__(self, *verdicts: Restart | GiveUp, begin_fails: int = 0) -> None:
        self.notes: list[Any] = []
        self.verdicts = list(verdicts)
        self.begin_fails = begin_fails

    def enter(self, state: CellState) -> None:
        self.notes.append(state)

    def begin(self) -> Any:
        self.notes.append("begin")
        if self.begin_fails:
            self.begin_fails -= 1
            raise OOPS

    def started(self) -> None:
        self.notes.append("started")

    def judge(self, failure: Failure | SiblingFailure) -> Restart | GiveUp:
        self.notes.append("judge")
        return self.verdicts.pop(0) if isinstance(failure, Failure) else failure.verdict

    def parting(self, verdict: Restart | GiveUp | None) -> Callable[[], Exception]:
        return lambda: RuntimeError("parting")

    def let_go(self, ending: Ending, error: Exception) -> Any:
        self.notes.append(("let_go", type(ending).__name__))

    def complain(self, error: BaseException) -> None:
        self.notes.append(("complain", str(error)))

    def announce(self, verdict: Restart | GiveUp, error: BaseException) -> None:
        self.notes.append(verdict)


def run(cell: Cell, *answers: Any) -> tuple[Any, list[Step]]:
    """Take the steps of a life; `answers` are for the Serve and Pause steps, an `Interrupted` is thrown."""
    life, waiting, taken = live(cell), list(answers), list[Step]()
    step = life.send(None)
    while True:
        taken.append(step)
        value: Any = None
        error: BaseException | None = None
        if isinstance(step, Serve | Pause):
            value = waiting.pop(0)
        elif isinstance(step, Run):
            try:
                step.work()
            except ValueError as raised:
                error = raised
        if isinstance(value, Interrupted):
            error = value
        try:
            step = life.send(value) if error is None else life.throw(error)
        except StopIteration as over:
            assert waiting == []
            return over.value, taken


def kinds(steps: list[Step]) -> list[str]:
    return [type(step).__name__ for step in steps]


def test_a_life_without_failures() -> None:
    cell = Cell()
    ended, steps = run(cell, StopRequest())
    assert ended is None
    assert kinds(steps) == ["Run", "Serve", "Clear", "Run"]
    assert cell.notes == [
        CellState.STARTING,
        "begin",
        CellState.RUNNING,
        "started",
        CellState.STOPPING,
        ("let_go", "StopRequest"),
    ]


def test_a_failure_is_followed_by_a_pause_and_a_new_behaviour() -> None:
    cell = Cell(Restart(2.0, 1))
    ended, steps = run(cell, Failure(OOPS), None, StopRequest())
    assert ended is None
    assert kinds(steps) == ["Run", "Serve", "Clear", "Run", "Pause", "Run", "Serve", "Clear", "Run"]
    assert steps[4] == Pause(2.0)
    assert cell.notes[4:9] == [
        "judge",
        CellState.BACKING_OFF,
        ("let_go", "Failure"),
        Restart(2.0, 1),
        CellState.STARTING,
    ]


def test_giving_up_ends_the_life_with_the_failure() -> None:
    cell = Cell(GiveUp(1))
    failure = Failure(OOPS)
    ended, steps = run(cell, failure)
    assert ended is failure
    assert kinds(steps)[-2:] == ["Clear", "Run"]
    assert cell.notes[-1] == GiveUp(1)


def test_a_start_that_fails_is_a_failure() -> None:
    cell = Cell(Restart(1.0, 1), Restart(2.0, 2), begin_fails=2)
    ended, steps = run(cell, None, None, StopRequest())
    assert ended is None
    assert [step.delay for step in steps if isinstance(step, Pause)] == [1.0, 2.0]
    assert cell.notes.count("started") == 1


def test_a_stop_cuts_serving_short() -> None:
    ended, steps = run(Cell(), Interrupted(StopRequest()))
    assert ended is None
    assert kinds(steps) == ["Run", "Serve", "Clear", "Run"]


def test_a_stop_cuts_a_pause_short() -> None:
    cell = Cell(Restart(60.0, 1))
    ended, steps = run(cell, Failure(OOPS), Interrupted(StopRequest()))
    assert ended is None
    assert kinds(steps)[-1] == "Pause"
    assert cell.notes[-1] is CellState.STOPPING


def test_a_groups_giving_up_cuts_a_pause_short() -> None:
    cell = Cell(Restart(60.0, 1))
    last = SiblingFailure(OOPS, GiveUp(3))
    ended, _steps = run(cell, Failure(OOPS), Interrupted(last))
    assert ended is last
    assert cell.notes[-1] == GiveUp(3)


def test_a_siblings_failure_restarts_a_healthy_member() -> None:
    cell = Cell()
    ended, steps = run(cell, Interrupted(SiblingFailure(OOPS, Restart(1.0, 1))), None, StopRequest())
    assert ended is None
    assert ("let_go", "SiblingFailure") in cell.notes
    assert cell.notes.count("started") == 2
    assert Pause(1.0) in steps


def test_a_last_hook_that_fails_is_reported_and_changes_nothing() -> None:
    class Clumsy(Cell):
        def let_go(self, ending: Ending, error: Exception) -> Any:
            raise ValueError("dropped it")

    cell = Clumsy(Restart(1.0, 1))
    ended, _steps = run(cell, Failure(OOPS), None, StopRequest())
    assert ended is None
    assert cell.notes.count(("complain", "dropped it")) == 2


def test_clear_comes_with_the_error_for_those_left_without_an_answer() -> None:
    _ended, steps = run(Cell(), StopRequest())
    clear = next(step for step in steps if isinstance(step, Clear))
    assert str(clear.error()) == "parting"
