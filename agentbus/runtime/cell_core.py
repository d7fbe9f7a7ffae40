"""What every cell does, be it on a loop or on a thread: behaviours, verdicts, askers, observers."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from agentbus.errors import AgentFailed, AgentRestarted, AgentStopped
from agentbus.runtime.cell_context import CellContext, Timer
from agentbus.runtime.cell_control import Control, Steer, Switch
from agentbus.runtime.cell_events import (
    CellEvent,
    CellState,
    ChildDown,
    Failed,
    GaveUp,
    Paused,
    Restarted,
    Restarting,
    Resumed,
    Started,
    Stopped,
    StopReason,
)
from agentbus.runtime.cell_job import Job
from agentbus.runtime.cell_life import Ending, Failure, Life, SiblingFailure, live
from agentbus.runtime.dead_letters import DeadLetterReason
from agentbus.runtime.envelope import Again
from agentbus.runtime.failure_line import failure_line
from agentbus.runtime.faults import ActorGoneError, RelayedFailure
from agentbus.runtime.mailbox import Mailbox
from agentbus.runtime.ref import LoopActorRef
from agentbus.runtime.supervision import GiveUp, Restart, RestartTracker

if TYPE_CHECKING:
    from agentbus.runtime.cell import Behaviour, CellOptions, CellRef, Factory, Observer
    from agentbus.runtime.runtime import Runtime

_log = logging.getLogger("agentbus.runtime")


class CellGoneError(AgentStopped, ActorGoneError):
    """The agent stopped before it worked on this; to users of pykka an `ActorDeadError`."""


class Shell(Protocol):
    """Where a core lives: an actor on a loop, or a thread."""

    def put_off(self, delay: float, work: Callable[[], object]) -> Timer:
        """Call `work()` in `delay` seconds, between messages; from the cell's own thread or loop."""
        ...

    def checkpoint(self) -> None:
        """Apply what waits on the control lane, if this is a safe point for it."""
        ...

    @property
    def busy(self) -> int:
        """How many messages are being handled; from any thread."""
        ...


class CellStatus:
    """What others may see of a cell at any time.

    Attributes:
        state: where in its life it is.
        incarnation: how many behaviours it has had.
        draining: it was asked to end.
        shell: where it lives; None before and after.
    """

    __slots__ = ("controls", "draining", "incarnation", "shell", "state")

    def __init__(self) -> None:
        self.state = CellState.STARTING
        self.incarnation = 0
        self.controls: deque[Control] | tuple[()] = ()
        """What was taken from the control lane and is not applied yet; the cell's own thread changes it."""
        self.draining = False
        self.shell: Shell | None = None


class CellCore:
    """One cell, whatever shell it lives in.

    Args:
        runtime: whose clock, chance and dead letters.
        factory: makes the behaviours.
        options: name and rules.
        observer: gets every `CellEvent`.
    """

    mailbox: Mailbox
    ref: CellRef
    _shell: Shell

    def __init__(
        self, runtime: Runtime, factory: Factory, options: CellOptions, observer: Observer | None
    ) -> None:
        self.runtime = runtime
        self.options = options
        self.name = options.name
        self.status = CellStatus()
        self.behaviour: Behaviour | None = None
        self._context: CellContext | None = None
        self._last_error: BaseException | None = None
        self._factory = factory
        self._observer = observer
        self._group = options.group
        policy = options.restart if options.group is None else options.group.policy
        self._retries = policy.retry_poison if options.retry_poison is None else options.retry_poison
        self._tracker = RestartTracker(policy, runtime.random)

    def move_in(self, shell: Shell, actor_ref: LoopActorRef[Any], mailbox: Mailbox) -> None:
        """Take the place where this cell will live."""
        from agentbus.runtime.cell import CellRef  # it imports this module

        self.mailbox = mailbox
        self._shell = self.status.shell = shell
        self.ref = CellRef(self.name, actor_ref, mailbox, self.status)
        if self._group is not None:
            self._group.join(self)

    def life(self) -> Life:
        """Give the steps of this cell's life, for its shell to take."""
        return live(self)

    # -- behaviours -----------------------------------------------------------------------------------------

    def enter(self, state: CellState) -> None:
        """Show where in its life the cell is."""
        self.status.state = state
        if state is CellState.STOPPED:
            self.status.shell = None  # an address that somebody keeps holds no more than itself

    def begin(self) -> Any:
        """Make a behaviour, and call its `on_start`."""
        self.status.incarnation += 1
        self._context = CellContext(
            self.ref,
            self.runtime,
            incarnation=self.status.incarnation,
            last_error=self._last_error,
            timer=self._shell.put_off,
            checkpoint=self._shell.checkpoint,
        )
        return self._make(self._context).on_start()

    def _make(self, context: CellContext) -> Behaviour:
        self.behaviour = None
        self.behaviour = behaviour = self._factory(context)
        self._has_started = False
        return behaviour

    def started(self) -> None:
        """Tell observers that `begin` went well."""
        self._has_started = True
        self._emit(Started(self.name) if self._last_error is None else Restarted(self.name))

    def let_go(self, ending: Ending, error: Exception) -> Any:
        """Close what the behaviour owns, and call its `on_failure` or `on_stop` if it had started."""
        behaviour, self.behaviour = self.behaviour, None
        if self._context is not None:
            self._context.close(error)
        if behaviour is None or not self._has_started:
            return None
        return behaviour.on_failure(ending.error) if isinstance(ending, Failure) else behaviour.on_stop()

    def complain(self, error: BaseException) -> None:
        """Report a last hook that failed: the behaviour is over anyway."""
        _log.error("%s failed while it ended", self.name, exc_info=error)

    # -- messages -------------------------------------------------------------------------------------------

    def call(self, job: Job) -> Any:
        """Hand a message to the behaviour; the result may be a coroutine."""
        if self.behaviour is None:
            raise cell_gone(self.name)
        return self.behaviour.on_message(job.message)

    def is_reply(self, error: BaseException) -> bool:
        """Whether the behaviour declares this exception as an answer, so that it is no failure."""
        declared = getattr(self.behaviour, "is_reply_error", None)
        return declared is not None and isinstance(error, Exception) and bool(declared(error))

    def reply_error(self, job: Job, error: BaseException) -> None:
        """Give a declared exception to the asker."""
        if not job.fail(error) and job.future is None:
            _log.info("%s answered a told %s with an exception", self.name, type(job.message).__qualname__)

    def dismiss(self, job: Job, error: Exception) -> None:
        """Deal with a message whose handling was cut off: its asker gets `error`."""
        if job.fail(error) or job.future is None:
            restarted = isinstance(error, AgentRestarted)
            self.bury(job.message, DeadLetterReason.RESTARTED if restarted else DeadLetterReason.STOPPED)

    def settle(self, job: Job, error: BaseException, *, retry: bool = False) -> None:
        """Deal with a message whose handling raised: another try, or the end of it."""
        if retry and job.attempts < self._retries and not job.over:
            self.mailbox.put_back(Again(job.item, job.attempts + 1))
            return
        job.fail(agent_failed(error))
        self.bury(job.message, DeadLetterReason.FAILED, error)

    def bury(self, message: Any, reason: DeadLetterReason, error: BaseException | None = None) -> None:
        """Publish a dead letter."""
        self.runtime.dead_letters.bury(self.name, message, reason, error)

    # -- the control lane -----------------------------------------------------------------------------------

    def next_control(self) -> Control | None:
        """Take the first of what is to be applied and not withdrawn."""
        controls = self.status.controls
        while controls:
            control = controls.popleft()
            if not control.future.done():
                return control
        return None

    def keep_control(self, control: Control, *, first: bool = False) -> None:
        """Keep something until it can be applied: behind the others, or, if it was cut off, before them."""
        controls = self.status.controls
        if isinstance(controls, tuple):
            controls = self.status.controls = deque()
        if first:
            controls.appendleft(control)
        else:
            controls.append(control)

    def switch(self, switch: Switch) -> None:
        """Pause or go on."""
        before = self.mailbox.paused
        as_wished = self.mailbox.pause(paused=switch.paused)
        now = self.mailbox.paused
        switch.future.try_set(as_wished)
        if now is not before:
            self._emit(Paused(self.name) if now else Resumed(self.name))

    def steer(self, steer: Steer) -> Any:
        """Hand a message to the behaviour; the result may be a coroutine."""
        if self.behaviour is None:
            raise cell_gone(self.name)
        return self.behaviour.on_control(steer.message)

    # -- verdicts -------------------------------------------------------------------------------------------

    def judge(self, failure: Failure | SiblingFailure) -> Restart | GiveUp:
        """Tell observers, ask the policy, and deal with the message that failed."""
        self._last_error = failure.error
        if isinstance(failure, SiblingFailure):
            return failure.verdict
        job = failure.job
        self._emit(Failed(self.name, failure.error, None if job is None else job.message))
        now = self.runtime.clock.monotonic()
        verdict = (
            self._tracker.failed(now) if self._group is None else self._group.failed(self, failure.error, now)
        )
        self._log_failure(failure.error, verdict)
        if job is not None:
            self.settle(job, failure.error, retry=isinstance(verdict, Restart))
        return verdict

    def _log_failure(self, error: BaseException, verdict: Restart | GiveUp) -> None:
        """Say in one line what is dealt with; the event has the traceback, and so does the debug line."""
        then = f"restarts in {verdict.delay:.2g} s" if isinstance(verdict, Restart) else "stops"
        _log.warning("%s failed and %s: %s", self.name, then, failure_line(error))
        _log.debug("%s failed", self.name, exc_info=error)

    def sibling_failed(self, failure: SiblingFailure) -> None:
        """Learn of another member's failure; from any thread."""
        self.mailbox.put_control(failure)

    def parting(self, verdict: Restart | GiveUp | None) -> Callable[[], Exception]:
        """Give what makes the error for those whom the end of this behaviour leaves without an answer."""
        if isinstance(verdict, Restart):
            return lambda: AgentRestarted(f"{self.name} was restarted while it worked on this")
        return partial(cell_gone, self.name, None if verdict is None else self._last_error)

    def concerns(self, failure: SiblingFailure) -> bool:
        """Whether another member's failure changes anything here: not if this cell starts afresh anyway."""
        serving = self.status.state in (CellState.STARTING, CellState.RUNNING)
        return serving or isinstance(failure.verdict, GiveUp)

    def announce(self, verdict: Restart | GiveUp, error: BaseException) -> None:
        """Tell observers, and the parent if it is over, what the policy says of the last failure."""
        if isinstance(verdict, Restart):
            self._emit(Restarting(self.name, verdict.delay, verdict.attempt))
            return
        self._emit(GaveUp(self.name, error, verdict.failures))
        if self.options.parent is not None:
            self.options.parent.tell_control(ChildDown(self.ref, error))

    def conclude(self, failure: Failure | SiblingFailure | None) -> None:
        """Do the last act, once the mailbox is empty and the address leads nowhere."""
        self.enter(CellState.STOPPED)
        while (control := self.next_control()) is not None:
            control.future.try_set(value=False)
        if self._group is not None:
            self._group.leave(self)
        self._emit(Stopped(self.name, StopReason.REQUESTED if failure is None else StopReason.FAILED))

    def _emit(self, event: CellEvent) -> None:
        if self._observer is None:
            return
        try:
            self._observer(event)
        except Exception:  # noqa: BLE001 -- who watches must not change what happens
            _log.exception("an observer of %s failed", self.name)


def cell_gone(address: str, cause: BaseException | None = None) -> Exception:
    """Make the error for who asks a cell that has ended."""
    error = CellGoneError(f"{address} has stopped")
    error.__cause__ = cause
    return error


def agent_failed(error: BaseException) -> AgentFailed:
    """Make the error for who asked an agent whose handler raised."""
    if isinstance(error, RelayedFailure):
        return AgentFailed(error.error_type, error.error_message)
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    failed = AgentFailed(name, str(error))
    failed.__cause__ = error
    return failed
