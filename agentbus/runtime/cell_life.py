"""The life of a cell, as one generator that says what is to be done next; shells on a loop or a thread do it.

    Run(work)     call it, wait for it if it is a coroutine; the generator gets its outcome
    Serve()       hand messages to the behaviour until an ending comes
    Clear(error)  cancel what runs, wait until it has given in; its askers get `error()`
    Pause(delay)  wait; the mailbox fills meanwhile

An ending that does not wait its turn, as it came through the control lane, is thrown in as `Interrupted`. So
the order of a life is in this file, and it knows neither loops nor threads nor clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

from agentbus.runtime.cell_events import CellState
from agentbus.runtime.cell_job import Job
from agentbus.runtime.supervision import GiveUp, Restart

# -- what a shell is asked to do ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """Call `work`."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Serve:
    """Hand messages to the behaviour; the shell answers with the ending."""


@dataclass(frozen=True, slots=True)
class Clear:
    """Cancel what runs, and wait for it; `error` makes what the askers get."""

    error: Callable[[], Exception]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait `delay` seconds."""

    delay: float


Step = Run | Serve | Clear | Pause

# -- how a behaviour's time ends ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """The behaviour raised, while it handled `job` if that is given."""

    error: BaseException
    job: Job | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SiblingFailure:
    """Another member of a one-for-all group failed, and this is what the group decided."""

    error: BaseException
    verdict: Restart | GiveUp


@dataclass(frozen=True, slots=True, eq=False)
class StopRequest:
    """Somebody wants the cell to end."""


Ending = Failure | SiblingFailure | StopRequest
Life = Generator[Step, Any, Failure | SiblingFailure | None]


class Interrupted(Exception):
    """An ending came through the control lane."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending = ending


class Cell(Protocol):
    """What a life needs done that is no waiting."""

    def enter(self, state: CellState) -> None:
        """Show where in its life the cell is."""
        ...

    def begin(self) -> Any:
        """Make a behaviour and call its `on_start`."""
        ...

    def started(self) -> None:
        """Tell observers that `begin` went well."""
        ...

    def judge(self, failure: Failure | SiblingFailure) -> Restart | GiveUp:
        """Tell observers, ask the policy, deal with the message that failed."""
        ...

    def parting(self, verdict: Restart | GiveUp | None) -> Callable[[], Exception]:
        """Give what makes the error for those whom the end of this behaviour leaves without an answer."""
        ...

    def let_go(self, ending: Ending, error: Exception) -> Any:
        """Close what the behaviour owns, and call its `on_stop` or `on_failure`."""
        ...

    def complain(self, error: BaseException) -> None:
        """Report a last hook that failed."""
        ...

    def announce(self, verdict: Restart | GiveUp, error: BaseException) -> None:
        """Tell observers, and the parent if it is over, what the policy says of the last failure."""
        ...


def live(cell: Cell) -> Life:
    """Give the steps of a life; its value is the failure that ended it, None if it was asked to stop."""
    while True:
        ending = yield from _serve(cell)
        if isinstance(ending, StopRequest):
            cell.enter(CellState.STOPPING)
            yield from _take_down(cell, ending, None)
            return None
        verdict = cell.judge(ending)
        if isinstance(verdict, GiveUp):
            cell.enter(CellState.STOPPING)
            yield from _take_down(cell, ending, verdict)
            cell.announce(verdict, ending.error)
            return ending
        late = yield from _back_off(cell, ending, verdict)
        if late is not None:
            return _conclude(cell, late)


def _serve(cell: Cell) -> Generator[Step, Any, Ending]:
    """Start a behaviour and let it work until something ends its time."""
    cell.enter(CellState.STARTING)
    try:
        yield Run(cell.begin)
    except Interrupted as interruption:
        return interruption.ending
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001 -- whatever it is, the policy decides
        return Failure(error)
    cell.enter(CellState.RUNNING)
    cell.started()
    try:
        ending: Ending = yield Serve()
    except Interrupted as interruption:
        return interruption.ending
    return ending


def _take_down(
    cell: Cell, ending: Ending, verdict: Restart | GiveUp | None
) -> Generator[Step, Any, Ending | None]:
    """End a behaviour's time; gives the ending that came on top, if one did."""
    error = cell.parting(verdict)
    late: Ending | None = None
    for step in (Clear(error), Run(lambda: cell.let_go(ending, error()))):
        try:
            yield step
        except Interrupted as interruption:
            late = interruption.ending
        except GeneratorExit:
            raise
        except BaseException as failure:  # noqa: BLE001 -- reported
            cell.complain(failure)
    return late


def _back_off(
    cell: Cell, ending: Failure | SiblingFailure, verdict: Restart
) -> Generator[Step, Any, Ending | None]:
    """End a behaviour's time and wait for the next; gives the ending that came meanwhile, if one did."""
    cell.enter(CellState.BACKING_OFF)
    late = yield from _take_down(cell, ending, verdict)
    if late is not None:
        return late
    cell.announce(verdict, ending.error)
    try:
        yield Pause(verdict.delay)
    except Interrupted as interruption:
        return interruption.ending
    return None


def _conclude(cell: Cell, late: Ending) -> Failure | SiblingFailure | None:
    """End a life that was cut short while no behaviour was there."""
    cell.enter(CellState.STOPPING)
    if isinstance(late, SiblingFailure):
        cell.announce(late.verdict, late.error)
    return None if isinstance(late, StopRequest) else late
