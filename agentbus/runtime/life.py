"""The life of an actor on a loop, and the turns in which it handles its mailbox.

STARTING ── on_start ──► RUNNING ── stop, in mailbox order or at once ──► STOPPING ── handlers end ──┐
   │ on_start raised        │ a told message's handler raised                                        │
   └────────────────────────┴──────────────────► ENDING ◄────────────────────────────────────────────┘
                                                   │ on_stop or on_failure has run, tasks have given in
                                                   ▼
                                                 ENDED: leftovers to the dead letters, then on_exit(Down)
"""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar

import pykka
from pykka import messages

from agentbus.errors import ForkedError, FutureCancelledError, RuntimeFault
from agentbus.runtime.dispatch import HandlerTable, find_handler, receives
from agentbus.runtime.down import Down, DownReason, StartOptions
from agentbus.runtime.envelope import Ask, Stop, Watch
from agentbus.runtime.future import Future
from agentbus.runtime.leftovers import bury, drop
from agentbus.runtime.loop import Loop
from agentbus.runtime.mailbox import Mailbox, make_mailbox
from agentbus.runtime.owned import OwnedTasks, OwnedTimers, Then, is_interrupt
from agentbus.runtime.ref import ActorGoneError, LoopActorRef

if TYPE_CHECKING:
    from agentbus.runtime.runtime import Runtime

MESSAGES_PER_TURN = 64
"""After so many messages of one actor its loop serves the others."""

_log = logging.getLogger("agentbus.runtime")


class Phase(enum.Enum):
    """Where in its life an actor is."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDING = "ending"
    ENDED = "ended"


class LivingActor(pykka.Actor):
    """What lies under `LoopActor`: mailbox, turns and phases. Its state belongs to the loop's thread."""

    runtime: Runtime
    loop: Loop
    _handlers: ClassVar[HandlerTable] = {}
    _mailbox: Mailbox
    _options: StartOptions
    _ref: LoopActorRef[Any]

    # what few actors ever change lives on the class: it costs an idle actor nothing
    _phase = Phase.NEW
    _free = 0
    _busy = 0
    _turning = False
    _tasks: OwnedTasks | None = None
    _timers: OwnedTimers | None = None
    _watchers: tuple[Stop | Watch, ...] = ()
    _end: tuple[DownReason, BaseException | None] = (DownReason.STOPPED, None)

    def _attach(self, options: StartOptions) -> None:
        """Give the actor its place: runtime, loop, mailbox, address."""
        runtime = options.runtime or _default_runtime()
        runtime.check_fork()
        self.runtime = runtime
        self.loop = options.loop or runtime.agents
        self._options = options
        self._mailbox = make_mailbox(options.mailbox, self._wake, self._dropped)
        self.actor_urn = runtime.registry.new_urn()
        self._ref = LoopActorRef(self, self._mailbox, self.actor_urn, options.name)
        self._actor_ref = self._ref

    @property
    def actor_stopped(self) -> threading.Event:  # type: ignore[override]  # made when asked for: memory
        """Whether the actor takes no more messages, as an event."""
        return self._ref.actor_stopped

    # -- turns ----------------------------------------------------------------------------------------------

    def _start_actor_loop(self) -> None:
        self.loop.call_soon(self._boot)

    def _wake(self) -> None:
        if self._phase is Phase.NEW:
            return  # it looks as soon as it has started
        try:
            self.loop.call_soon(self._turn)
        except ForkedError:
            raise
        except RuntimeFault:
            self.abandon()

    def abandon(self) -> None:
        """End without another turn: the loop is closed. No hook runs, and `on_exit` is not called."""
        self._phase = Phase.ENDED
        self._leave()
        self._tell_watchers()

    def _turn(self) -> None:
        """Handle what has come, the control lane first, but no more than others on the loop can wait for."""
        mailbox = self._mailbox
        items = mailbox.items
        self._turning = True
        try:
            for _ in range(MESSAGES_PER_TURN):
                if mailbox.control:
                    self._handle_control(mailbox.take_control())
                elif self._free and items:
                    self._handle(mailbox.take())
                elif not self._free or mailbox.rest():
                    return  # whoever frees it, or puts something, calls for the next turn
        finally:
            self._turning = False
        self._wake()

    def _handle(self, item: Any) -> None:
        """Handle one item of the mailbox."""
        message, future = item, None
        if item.__class__ is Ask:
            message, future = item.message, item.future
            if future.done():
                return  # cancelled before its turn: it never starts
        elif item.__class__ is Stop:
            self._stop_in_order(item)
            return
        try:
            handler = self._handlers.get(message.__class__)
            result = handler(self, message) if handler is not None else self._dispatch(message)
        except BaseException as error:  # whatever it is, it ends this actor at most
            self._handling_raised(message, future, error)
            if is_interrupt(error):
                raise
            return
        if result.__class__ is CoroutineType:
            self._await_handler(message, future, result)
        elif future is not None:
            future.try_set(result)

    def _dispatch(self, message: Any) -> Any:
        """Call the handler of a message, which `on_receive` is by default."""
        handler = find_handler(self._handlers, message.__class__, type(self).on_receive)
        return handler(self, message)

    def _await_handler(self, message: Any, future: Future[Any] | None, coroutine: Any) -> None:
        self._free -= 1
        self._busy += 1
        task = self._own_tasks().start(coroutine, partial(self._handler_ended, message, future))
        if future is not None and not task.done():
            future.on_cancel(lambda: self.loop.call_soon(task.cancel))

    def _handler_ended(
        self, message: Any, future: Future[Any] | None, value: Any, error: BaseException | None
    ) -> None:
        self._busy -= 1
        if self._phase is Phase.RUNNING:
            self._free += 1
        if error is not None:
            self._handling_raised(message, future, error)
        elif future is not None:
            future.try_set(value)
        if self._phase is Phase.STOPPING:
            self._stop_if_idle()
        elif not self._turning:
            self._turn()

    def _handling_raised(self, message: Any, future: Future[Any] | None, error: BaseException) -> None:
        """Tell the asker; without one, or if this is no `Exception`, the actor fails."""
        if isinstance(error, asyncio.CancelledError):
            if future is not None and future.cancelled():
                return  # as its asker wished
            if self._phase is not Phase.RUNNING:
                self._bury(message if future is None else Ask(message, future))
                return
            error = FutureCancelledError("the handler was cancelled")
        if future is not None and isinstance(error, Exception):
            future.try_set_exception(error)
            return
        if future is not None:
            future.try_set_exception(self._gone(self._address, error))
        self._fail(error)

    # -- work of its own: control messages, timers, tasks ---------------------------------------------------

    def _handle_control(self, item: Any) -> None:
        if item.__class__ is Watch:
            self._watchers += (item,)
        elif item.__class__ is Stop:
            self._stop_now(item)
        elif self._phase is Phase.ENDING:
            self._bury(item)
        else:
            self._run_own(partial(self.on_control, item))

    @abstractmethod
    def on_control(self, message: Any) -> Any:
        """Handle a message from the control lane."""

    def _run_own(self, work: Callable[[], Any]) -> None:
        if self._phase is not Phase.ENDED:
            self._run(work, self._own_work_ended)

    def _own_work_ended(self, _value: Any, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, asyncio.CancelledError):
            self._fail(error)

    def _run(self, work: Callable[[], Any], then: Then) -> None:
        """Call `work`, await it if it is a coroutine, and hand its outcome to `then`."""
        try:
            result = work()
        except BaseException as error:  # `then` decides
            then(None, error)
            if is_interrupt(error):
                raise
            return
        if result.__class__ is CoroutineType:
            self._own_tasks().start(result, then)
        else:
            then(result, None)

    def _own_tasks(self) -> OwnedTasks:
        if self._tasks is None:
            self._tasks = OwnedTasks(self.loop)
        return self._tasks

    # -- from phase to phase --------------------------------------------------------------------------------

    def _boot(self) -> None:
        self._phase = Phase.STARTING
        self._run(self.on_start, self._started)
        if self._phase is Phase.STARTING:  # it awaits: serve the control lane, but let it begin first
            self.loop.asyncio_loop.call_soon(self._turn)

    def _started(self, _value: Any, error: BaseException | None) -> None:
        if self._phase is Phase.STOPPING:  # stopped at once while `on_start` was awaiting
            self._finish(DownReason.STOPPED, None, None if error else self.on_stop)
        elif self._phase is Phase.ENDING:  # failed meanwhile
            return
        elif error is not None:
            self._log_failure(error)
            self._finish(DownReason.START_FAILED, error, None)
        else:
            self._phase = Phase.RUNNING
            self._free = self._options.concurrency
            self._turn()

    @receives(messages._ActorStop)  # pyright: ignore[reportPrivateUsage]  # what pykka itself would send
    def _stop_in_order(self, stop: Any) -> None:
        self._stop_for(stop)
        self._stop_if_idle()

    def _stop_for(self, stop: Any) -> None:
        if isinstance(stop, Stop):
            self._watchers += (stop,)
        self._free = 0
        self._phase = Phase.STOPPING

    def _stop_if_idle(self) -> None:
        if not self._busy:
            self._finish(DownReason.STOPPED, None, self.on_stop)

    def _stop_now(self, stop: Stop) -> None:
        if self._phase is Phase.ENDING:
            self._watchers += (stop,)
            self._cancel_own()
            return
        starting = self._phase is Phase.STARTING
        self._stop_for(stop)
        self._cancel_own()
        if not starting:
            self._stop_if_idle()

    def _fail(self, error: BaseException) -> None:
        self._log_failure(error)
        if self._phase not in (Phase.ENDING, Phase.ENDED):
            hook = partial(self.on_failure, type(error), error, error.__traceback__)
            self._finish(DownReason.FAILED, error, hook)

    def _log_failure(self, error: BaseException) -> None:
        _log.error("unhandled exception in %s", self, exc_info=error)

    def _finish(
        self, reason: DownReason, error: BaseException | None, hook: Callable[[], Any] | None
    ) -> None:
        """Take nothing more, cancel what runs, call the last hook."""
        self._free = 0
        self._phase = Phase.ENDING
        self._end = (reason, error)
        self._mailbox.refuse(partial(self._gone, self._address, error))
        self._cancel_own()
        if hook is None:
            self._hook_ended(None, None)
        else:
            self._run(hook, self._hook_ended)

    def _cancel_own(self) -> None:
        if self._tasks is not None:
            self._tasks.cancel()
        if self._timers is not None:
            self._timers.cancel()

    def _hook_ended(self, _value: Any, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, asyncio.CancelledError):
            self._log_failure(error)
            self._end = (self._end[0], self._end[1] or error)
        if self._tasks is None:
            self._die()
        else:
            self._tasks.when_empty(self._die)

    def _die(self) -> None:
        self._phase = Phase.ENDED
        self._cancel_own()
        self._leave()
        if self._options.on_exit is not None:
            self._tell_exit(self._options.on_exit)
        self._tell_watchers()

    def _tell_watchers(self) -> None:
        watchers, self._watchers = self._watchers, ()
        for watcher in watchers:
            self._bury(watcher)

    def _leave(self) -> None:
        """Hand over what is left, and be forgotten."""
        address = self._address
        gone = partial(self._gone, address, self._end[1])  # not `self`: a kept ref must not keep the actor
        self._mailbox.refuse(gone)
        self._mailbox.bury(partial(bury, self.runtime.dead_letters, address, gone))
        self.runtime.registry.unregister(self._ref)

    def _tell_exit(self, on_exit: Callable[[Down], object]) -> None:
        try:
            on_exit(Down(self._ref, *self._end))
        except Exception:  # noqa: BLE001 -- the actor is over; its observer's failure is no reason to stay
            _log.exception("on_exit of %s failed", self)

    # -- leftovers ------------------------------------------------------------------------------------------

    @property
    def _address(self) -> str:
        """What dead letters and errors call the actor."""
        return str(self._ref)

    @staticmethod
    def _gone(address: str, cause: BaseException | None = None) -> Exception:
        """Make the error for who asks an actor that has ended."""
        error = ActorGoneError(f"{address} has ended")
        error.__cause__ = cause
        return error

    def _bury(self, item: Any) -> None:
        bury(self.runtime.dead_letters, self._address, partial(self._gone, self._address), item)

    def _dropped(self, item: Any) -> None:
        overflow = self._options.mailbox.overflow
        drop(self.runtime.dead_letters, self._address, overflow, item)

    @staticmethod
    def _create_actor_inbox() -> Any:
        return Mailbox(lambda: None)  # for pykka's constructor, which does not run; see `_attach`


def _default_runtime() -> Runtime:
    from agentbus.runtime.runtime import default_runtime  # it imports the modules above

    return default_runtime()
