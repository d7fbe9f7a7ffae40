"""A cell on an event loop: takes the steps of its life between its messages, and never blocks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial
from types import CoroutineType
from typing import Any

from agentbus.errors import ForkedError, FutureCancelledError, RuntimeFault
from agentbus.runtime.actor import LoopActor
from agentbus.runtime.cell_context import Timer
from agentbus.runtime.cell_control import Control, Refusal, Steer, Switch
from agentbus.runtime.cell_core import CellCore, agent_failed, cell_gone
from agentbus.runtime.cell_job import Job, current_job, job_of
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
)
from agentbus.runtime.down import DownReason
from agentbus.runtime.envelope import Stop
from agentbus.runtime.owned import Then, is_interrupt
from agentbus.runtime.suspended import Suspended
from agentbus.runtime.turns import Phase

CANCEL_GRACE = 5.0
"""Seconds that a cancelled handler gets to end; then the cell goes on without it."""

_log = logging.getLogger("agentbus.runtime")

_NEW = Phase.NEW  # each message asks for it, and Python 3.11 takes 0.1 us to look up a member of an enum


class LoopCell(LoopActor):
    """The shell of a core that lives on a loop.

    Args:
        core: what lives in it.
    """

    def __init__(self, core: CellCore) -> None:
        super().__init__()
        self._core = core
        self._life = core.life()
        self._step: Step | None = None
        self._pending: Ending | None = None
        self._draining = self._leaving = self._applying = False
        self._jobs: dict[Job, None] = {}
        self._parting: Callable[[], Exception] = partial(cell_gone, core.name)
        self._failure: Failure | SiblingFailure | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._steering: Steer | None = None
        self._queue = self.loop.run_queue
        core.move_in(self, self.actor_ref, self._mailbox)

    def put_off(self, delay: float, work: Callable[[], object]) -> Timer:
        """Call `work()` in `delay` seconds, between messages; a failure is the behaviour's."""
        return self.call_later(delay, work)

    @property
    def busy(self) -> int:
        """How many messages are being handled by coroutines."""
        return self._busy

    # -- the life, step by step -----------------------------------------------------------------------------

    def _started(self, _value: Any, error: BaseException | None) -> None:
        del error  # there is none: `on_start` is the core's business
        self._phase = Phase.RUNNING
        self._go_on()

    def _go_on(self, value: Any = None, error: BaseException | None = None) -> None:
        """Give the outcome of the last step to the life, and take the next."""
        self._step = None
        try:
            step = self._life.send(value) if error is None else self._life.throw(error)
        except StopIteration as over:
            self._over(over.value)
            return
        self._step = step
        if self._pending is not None and isinstance(step, Serve | Pause):
            self._interrupt_now(self._pending)
        else:
            self._take(step)

    def _take(self, step: Step) -> None:
        match step:
            case Run():
                self._run(step.work, self._ran)
            case Serve():
                self._serve()
            case Clear():
                self._clear(step.error)
            case Pause():
                self._pause = self.loop.call_later(step.delay, self._go_on)

    def _ran(self, value: Any, error: BaseException | None) -> None:
        if error is not None and self._pending is not None:
            self._interrupt_now(self._pending)
        else:
            self._go_on(value, error)

    def checkpoint(self) -> None:
        """Apply nothing: on a loop that happens whenever a handler awaits."""

    def _serve(self) -> None:
        self._free = self._room()
        self._apply_controls()
        if not self._turning:
            self._wake()

    def _run(self, work: Callable[[], Any], then: Then) -> None:
        """Run hooks, timers and what came by the control lane: they belong to no message."""
        token = current_job.set(None)
        try:
            super()._run(work, then)
        finally:
            current_job.reset(token)

    def _clear(self, parting: Callable[[], Exception]) -> None:
        self._parting = parting
        self._free = 0
        for job in self._jobs:
            job.token.cancel()
        self._cancel_own()
        grace = self.loop.call_later(CANCEL_GRACE, self._own_tasks().abandon)
        self._own_tasks().when_empty(partial(self._cleared, grace))

    def _cleared(self, grace: asyncio.TimerHandle) -> None:
        grace.cancel()
        self._steering_cut_off()
        stubborn, self._jobs = self._jobs, {}
        self._busy = 0
        for job in stubborn:
            _log.warning("%s goes on without a handler that does not give in to its cancelling", self)
            self._core.dismiss(job, self._parting())
        self._go_on()

    def _over(self, failure: Failure | SiblingFailure | None) -> None:
        self._failure = failure
        if failure is None:
            self._finish(DownReason.STOPPED, None, None)
        else:
            self._finish(DownReason.FAILED, failure.error, None)

    def _tell_watchers(self) -> None:
        self._core.conclude(self._failure)
        super()._tell_watchers()

    # -- what ends a behaviour's time -----------------------------------------------------------------------

    def _end_serving(self, ending: Ending) -> None:
        self._free = 0
        if self._draining and not isinstance(ending, StopRequest):
            self._draining = False
            self._mailbox.put_back(Stop(None))  # its turn comes again, after the restart
        self._go_on(ending)

    def _interrupt(self, ending: SiblingFailure | StopRequest) -> None:
        """Let an ending through that does not wait for its turn."""
        if isinstance(ending, SiblingFailure) and not self._core.concerns(ending):
            return
        if isinstance(self._step, Serve | Pause):
            self._interrupt_now(ending)
            return
        self._pending = ending
        if isinstance(self._step, Run):
            self._cancel_own()

    def _interrupt_now(self, ending: Ending) -> None:
        self._pending = None
        self._free = 0
        if self._pause is not None:
            self._pause.cancel()
        self._go_on(error=Interrupted(ending))

    def _stop_in_order(self, stop: Any) -> None:
        if isinstance(stop, Stop):
            self._watchers += (stop,)
        self._free = 0
        self._draining = True
        self._stop_if_idle()

    def _stop_if_idle(self) -> None:
        if not self._busy:
            self._leaving = True
            self._end_serving(StopRequest())

    def _stop_now(self, stop: Stop) -> None:
        self._watchers += (stop,)
        leaving, self._leaving = self._leaving, True
        if not leaving:  # the wish of a second does not cut off `on_stop`
            self._interrupt(StopRequest())

    def _fail(self, error: BaseException) -> None:
        """Take a failure of a timer, a task or a control message."""
        if isinstance(self._step, Serve):
            self._end_serving(Failure(error))
        else:
            self._log_failure(error)

    def _wake(self) -> None:
        if self._phase is _NEW:
            return  # it looks as soon as it has started
        try:
            self._queue.post(self._turn)
        except ForkedError:
            raise
        except RuntimeFault:
            self.abandon()

    def _handle(self, item: Any) -> Awaitable[object] | None:
        if item.__class__ is Stop:
            self._stop_in_order(item)
            return None
        job = job_of(item)
        if job.future is not None and job.future.done():
            return None  # cancelled before its turn: it never starts
        job.task = task = self._queue.task
        context = Context()
        self._busy += 1
        try:
            result = context.run(self._begin, job, context)
        except BaseException as error:
            self._busy -= 1
            context.run(self._job_raised, job, error)
            if is_interrupt(error):
                raise
        else:
            if result.__class__ is Suspended:
                return self._let_wait(job, result, task)
            self._busy -= 1
            job.reply(result)
        job.ended = True
        return self._change_task() if task.cancelling() else None

    def _begin(self, job: Job, context: Context) -> Any:
        """Call the handler, in its message's context; gives its result, or that it waits for something."""
        current_job.set(job)
        result = self._core.call(job)
        if result.__class__ is CoroutineType:
            try:
                awaited = result.send(None)
            except StopIteration as end:
                return end.value
            return Suspended(context, result, awaited)
        return result

    def _let_wait(self, job: Job, suspended: Suspended, task: asyncio.Task[Any]) -> Awaitable[object]:
        """Leave the task that runs to a handler that waits for something."""
        self._free -= 1
        self._jobs[job] = None
        carried = self._own_tasks().adopt(task, suspended, partial(self._job_ended, job))
        if job.future is None:
            pass
        elif job.has_asked:  # see `Job.track` for the order
            job.token.on_cancel(lambda: self._cancel_job(job, task))
        else:
            job.future.add_done_callback(lambda _future: self._cancel_job(job, task))
        if self._free:
            self._wake()
        return carried

    async def _change_task(self) -> None:
        """Let nobody else use a task whose cancelling a handler has asked for, and not waited for."""
        self._wake()

    def _cancel_job(self, job: Job, task: asyncio.Task[Any]) -> None:
        """Have a handler cancelled whose message nobody wants; from any thread."""
        if job.token.answered or not isinstance(self._step, Serve):
            return  # it has ended by itself; or all that runs is being cancelled
        if job in self._jobs:
            self.loop.call_soon(task.cancel)

    def _job_ended(self, job: Job, value: Any, error: BaseException | None) -> None:
        if self._jobs.pop(job, self) is self:
            return  # the cell went on without it
        self._busy -= 1
        if not isinstance(self._step, Serve):
            self._cut_off(job, value, error)
            return
        if not (self._draining or self._mailbox.paused):
            self._free += 1
        if error is None:
            job.reply(value)
        else:
            self._job_raised(job, error)
        if self._draining:
            self._stop_if_idle()
        elif not self._turning:
            self._wake()

    def _job_raised(self, job: Job, error: BaseException) -> None:
        if job.gave_in(error):
            return  # as its asker wished
        if self._core.is_reply(error):
            self._core.reply_error(job, error)
        else:
            self._end_serving(Failure(error, job))

    def _cut_off(self, job: Job, value: Any, error: BaseException | None) -> None:
        """Take the outcome of a handler after its behaviour's time has ended."""
        if error is None:
            job.reply(value)
        elif isinstance(error, asyncio.CancelledError) or job.gave_in(error):
            self._core.dismiss(job, self._parting())
        elif self._core.is_reply(error):
            self._core.reply_error(job, error)
        else:
            self._core.settle(job, error)

    def _handle_control(self, item: Any) -> None:
        if isinstance(item, SiblingFailure):
            self._interrupt(item)
        elif isinstance(item, Control):
            self._core.keep_control(item)
            self._apply_controls()
        else:
            super()._handle_control(item)

    def on_control(self, message: Any) -> Any:
        """Hand a control message to the behaviour, if there is one."""
        if self._core.behaviour is None:
            self._bury(message)
            return None
        return self._core.behaviour.on_control(message)

    def _room(self) -> int:
        """Give how many more messages may be handled now."""
        return 0 if self._draining or self._mailbox.paused else self._options.concurrency - self._busy

    def _apply_controls(self) -> None:
        """Apply what people told the cell, one after the other, while a behaviour is there."""
        if self._applying:
            return  # further down this very stack
        self._applying = True
        while isinstance(self._step, Serve) and self._steering is None:
            control = self._core.next_control()
            if control is None:
                break
            if isinstance(control, Switch):
                self._switch(control)
            elif isinstance(control, Steer):
                self._steer(control)
        self._applying = False

    def _switch(self, switch: Switch) -> None:
        self._core.switch(switch)
        self._free = self._room()
        if self._free and not self._turning:
            self._wake()

    def _steer(self, steer: Steer) -> None:
        self._steering = steer
        self._run(partial(self._core.steer, steer), partial(self._steered, steer))

    def _steered(self, steer: Steer, value: Any, error: BaseException | None) -> None:
        if self._steering is not steer:
            return  # the cell went on without it
        serving = isinstance(self._step, Serve)
        if not serving and isinstance(error, asyncio.CancelledError):
            self._steering_cut_off()
            return
        self._steering = None
        if isinstance(value, Refusal):
            steer.future.try_set_exception(value.error)
        elif error is None:
            steer.future.try_set(value=True)
        elif isinstance(error, asyncio.CancelledError):
            steer.future.try_set_exception(FutureCancelledError("on_control was cancelled"))
        else:
            steer.future.try_set_exception(agent_failed(error))
            self._fail(error)
        self._apply_controls()

    def _steering_cut_off(self) -> None:
        """Keep for the next behaviour what this one had no time for."""
        steer, self._steering = self._steering, None
        if steer is not None:
            self._core.keep_control(steer, first=True)

    @property
    def _address(self) -> str:
        return self._core.name

    _gone = staticmethod(cell_gone)


LoopCell._handlers = {}  # pyright: ignore[reportPrivateUsage]  # every message is the behaviour's, pykka's own too
