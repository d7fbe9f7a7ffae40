"""A cell on a daemon thread of its own, for behaviours that block.

It is a pykka `ThreadingActor` that pykka's registry does not know, so that no stranger's `SystemExit` and no
`ActorRegistry.stop_all()` can reach it, and that runs the life of a cell instead of pykka's loop.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import Any

import pykka

from agentbus.runtime.cell_context import Timer
from agentbus.runtime.cell_control import Control, Steer, Switch
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
from agentbus.runtime.clock import SystemClock
from agentbus.runtime.dead_letters import DeadLetterReason
from agentbus.runtime.envelope import Stop, Watch
from agentbus.runtime.leftovers import bury, drop
from agentbus.runtime.loop import Loop
from agentbus.runtime.mailbox import Mailbox, make_mailbox
from agentbus.runtime.ref import LoopActorRef

_log = logging.getLogger("agentbus.runtime")


class ThreadCell(pykka.ThreadingActor):
    """The shell of a core that lives on a thread.

    Args:
        core: what lives in it.
    """

    use_daemon_thread = True

    def __init__(self, core: CellCore) -> None:
        # pykka's constructor would make an inbox, an event and a ref that nobody uses
        self._core = core
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._mailbox = make_mailbox(
            core.options.mailbox, self._wake, self._dropped, consumer_is_here=self._is_here
        )
        self.actor_urn = core.runtime.registry.new_urn()
        self._ref = LoopActorRef(self, self._mailbox, self.actor_urn, core.name)
        self._actor_ref = self._ref
        self._thread_id: int | None = None
        self._job: Job | None = None
        self._watchers: list[Stop | Watch] = []
        self._timers: dict[ThreadTimer, None] = {}
        core.move_in(self, self._ref, self._mailbox)

    @property
    def busy(self) -> int:
        """How many messages are being handled: one at most."""
        return 0 if self._job is None else 1

    @property
    def actor_stopped(self) -> threading.Event:  # type: ignore[override]  # made when asked for
        """Whether the cell takes no more messages, as an event."""
        return self._ref.actor_stopped

    def start_thread(self) -> None:
        """Register, and begin the life."""
        registry = self._core.runtime.registry
        registry.register(self._ref)
        try:
            self._start_actor_loop()
        except BaseException:
            registry.unregister(self._ref)
            raise

    # -- from any thread ------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._wakes.empty():  # one is enough: who takes it looks at everything that has come
            self._wakes.put(None)
        if self._mailbox.control and self._job is not None:
            self._cancel_if_over(self._job)

    def _cancel_if_over(self, job: Job) -> None:
        """Tell a handler that runs right now that it is being stopped: nobody can cancel a thread."""
        if any(isinstance(item, Stop | SiblingFailure) for item in list(self._mailbox.control)):
            job.token.cancel()

    def _is_here(self) -> bool:
        return threading.get_ident() == self._thread_id

    def _dropped(self, item: Any) -> None:
        drop(self._core.runtime.dead_letters, self._core.name, self._core.options.mailbox.overflow, item)

    def abandon(self) -> None:
        """End as soon as the handler that runs has ended; those who wait in the mailbox are told at once."""
        self._mailbox.put_control(Stop(None))
        gone = partial(cell_gone, self._core.name)
        self._mailbox.refuse(gone)
        while self._mailbox.items:
            try:
                item = self._mailbox.take()
            except IndexError:
                return
            bury(self._core.runtime.dead_letters, self._core.name, gone, item)

    # -- the life, step by step, on the thread --------------------------------------------------------------

    def _actor_loop(self) -> None:
        self._thread_id = threading.get_ident()
        failure: Failure | SiblingFailure | None = None
        try:
            failure = self._live()
        except BaseException:  # noqa: BLE001 -- it ends here anyway, and those who wait are told
            _log.exception("%s ended by a mistake of ours", self._core.name)
        finally:
            self._leave(failure)

    def _live(self) -> Failure | SiblingFailure | None:
        life = self._core.life()
        step = life.send(None)
        while True:
            outcome: Any = None
            error: BaseException | None = None
            try:
                outcome = self._take(step)
            except BaseException as raised:  # noqa: BLE001 -- the life decides
                error = raised
            try:
                step = life.send(outcome) if error is None else life.throw(error)
            except StopIteration as over:
                ended: Failure | SiblingFailure | None = over.value
                return ended

    def _take(self, step: Step) -> Any:
        match step:
            case Run():
                return _synchronous(step.work)
            case Serve():
                return self._serve()
            case Clear():
                for timer in list(self._timers):
                    timer.cancel()
            case Pause():
                self._pause(step.delay)
        return None

    def _serve(self) -> Ending:
        mailbox = self._mailbox
        ending: Ending | None = self._apply_controls()
        while ending is None:
            if mailbox.control:
                ending = self._serve_control(mailbox.take_control())
            elif mailbox.paused:
                self._wakes.get()
            elif mailbox.items:
                ending = self._serve_next()
            elif mailbox.rest():
                self._wakes.get()
        return ending

    def _pause(self, delay: float) -> None:
        deadline = SystemClock.monotonic() + delay
        while True:
            while self._mailbox.control:
                self._pass_control(self._mailbox.take_control())
            remaining = deadline - SystemClock.monotonic()
            try:
                self._wakes.get(timeout=max(remaining, 0.0))
            except queue.Empty:
                return

    def _leave(self, failure: Failure | SiblingFailure | None) -> None:
        core = self._core
        gone = partial(cell_gone, core.name, None if failure is None else failure.error)
        self._mailbox.refuse(gone)
        self._mailbox.bury(partial(bury, core.runtime.dead_letters, core.name, gone))
        core.runtime.registry.unregister(self._ref)
        core.conclude(failure)
        for watcher in self._watchers:
            bury(core.runtime.dead_letters, core.name, gone, watcher)

    # -- messages -------------------------------------------------------------------------------------------

    def _serve_next(self) -> Ending | None:
        try:
            item = self._mailbox.take()
        except IndexError:
            return None  # abandoned meanwhile
        if isinstance(item, Stop):
            self._watchers.append(item)
            return StopRequest()
        job = job_of(item)
        return None if job.over else self._handle(job)

    def _handle(self, job: Job) -> Failure | None:
        self._job = job
        self._cancel_if_over(job)
        token = current_job.set(job)
        try:
            job.reply(_synchronous(partial(self._core.call, job)))
        except BaseException as error:  # noqa: BLE001 -- the life decides
            if job.gave_in(error):
                self._core.dismiss(job, self._parting())
            elif self._core.is_reply(error):
                self._core.reply_error(job, error)
            else:
                return Failure(error, job)
        finally:
            current_job.reset(token)
            self._job = None
        return None

    def _parting(self) -> Exception:
        """Make the error for the asker of a handler that gave in: what waits on the control lane says why."""
        failures = [item for item in list(self._mailbox.control) if isinstance(item, SiblingFailure)]
        return self._core.parting(failures[0].verdict if failures else None)()

    def _serve_control(self, item: Any) -> Failure | None:
        if isinstance(item, Control):
            self._core.keep_control(item)
            return self._apply_controls()
        if isinstance(item, ThreadTimer):
            work = item.work
        elif isinstance(item, Stop | Watch | SiblingFailure) or self._core.behaviour is None:
            self._pass_control(item)
            return None
        else:
            work = partial(self._core.behaviour.on_control, item)
        try:
            _synchronous(work)
        except BaseException as error:  # noqa: BLE001 -- the life decides
            return Failure(error)
        return None

    def _pass_control(self, item: Any) -> None:
        """Take what concerns the cell and not the behaviour inside."""
        match item:
            case Stop():
                self._watchers.append(item)
                raise Interrupted(StopRequest())
            case Watch():
                self._watchers.append(item)
            case SiblingFailure():
                if self._core.concerns(item):
                    raise Interrupted(item)
            case Control():
                self._core.keep_control(item)
            case ThreadTimer():
                item.cancel()
            case _:
                self._core.bury(item, DeadLetterReason.RESTARTED)

    def checkpoint(self) -> None:
        """Apply what people told the cell, in the midst of a message; the rest of the lane stays as it is."""
        if self._job is None or not self._is_here():
            return
        others: list[Any] = []
        while self._mailbox.control:
            item = self._mailbox.take_control()
            if isinstance(item, Control):
                self._core.keep_control(item)
            else:
                others.append(item)
        for item in reversed(others):
            self._mailbox.put_back_control(item)
        token = current_job.set(None)
        try:
            self._apply_all()
        finally:
            current_job.reset(token)

    def _apply_controls(self) -> Failure | None:
        try:
            self._apply_all()
        except BaseException as error:  # noqa: BLE001 -- the life decides
            return Failure(error)
        return None

    def _apply_all(self) -> None:
        while (control := self._core.next_control()) is not None:
            if isinstance(control, Switch):
                self._core.switch(control)
            elif isinstance(control, Steer):
                self._steer(control)

    def _steer(self, steer: Steer) -> None:
        try:
            _synchronous(partial(self._core.steer, steer))
        except BaseException as error:
            steer.future.try_set_exception(agent_failed(error))
            raise
        steer.future.try_set(value=True)

    # -- timers ---------------------------------------------------------------------------------------------

    def put_off(self, delay: float, work: Callable[[], object]) -> Timer:
        """Call `work()` on this thread in `delay` seconds, between messages; a failure is the behaviour's."""
        timer = ThreadTimer(work, self._timers, self._mailbox, self._core.runtime.agents)
        timer.start(delay)
        return timer


class ThreadTimer:
    """A call that waits on the agents' loop, and comes back through the control lane.

    Args:
        work: what to call.
        waiting: where the timers that wait are kept.
        mailbox: where it comes back.
        loop: where it waits.
    """

    __slots__ = ("_cancelled", "_handle", "_loop", "_mailbox", "_waiting", "_work")

    def __init__(
        self,
        work: Callable[[], object],
        waiting: dict[ThreadTimer, None],
        mailbox: Mailbox,
        loop: Loop,
    ) -> None:
        self._work = work
        self._waiting = waiting
        self._mailbox = mailbox
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None
        self._cancelled = False

    def start(self, delay: float) -> None:
        """Begin to wait; on the cell's thread."""
        self._waiting[self] = None
        self._loop.call_soon(self._wait, delay)

    def work(self) -> Any:
        """Do what was put off, unless it was called off."""
        self._waiting.pop(self, None)
        return None if self._cancelled else self._work()

    def cancel(self) -> None:
        """Call it off; on the cell's thread."""
        self._cancelled = True
        if self in self._waiting:
            del self._waiting[self]
            self._loop.call_soon(self._withdraw)

    def _wait(self, delay: float) -> None:
        if not self._cancelled:
            self._handle = self._loop.call_later(delay, self._mailbox.put_control, self)

    def _withdraw(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


def _synchronous(work: Callable[[], Any]) -> Any:
    result = work()
    if result.__class__ is CoroutineType:
        result.close()
        raise TypeError("a behaviour on a thread of its own has no event loop: its methods can't be async")
    return result
