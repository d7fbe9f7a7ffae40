"""The turns of an actor on a loop: how it handles its mailbox, its control lane and work of its own.

A turn serves the control lane first, then messages, and ends after a bounded number of both, so that the
loop's other actors have theirs. While as many handlers await as may run at a time, messages wait, and the
control lane does not. None of this costs a task or a future unless a handler is a coroutine or somebody asks.
"""

from __future__ import annotations

import asyncio
import enum
import threading
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, ClassVar

import pykka

from agentbus.errors import ForkedError, FutureCancelledError, RuntimeFault
from agentbus.runtime.dispatch import Handler, HandlerTable, find_handler
from agentbus.runtime.down import DownReason, StartOptions
from agentbus.runtime.envelope import Ask, Stop, Watch
from agentbus.runtime.faults import ActorGoneError
from agentbus.runtime.future import Future
from agentbus.runtime.leftovers import bury, drop
from agentbus.runtime.loop import Loop
from agentbus.runtime.mailbox import Mailbox, make_mailbox
from agentbus.runtime.owned import OwnedTasks, OwnedTimers, Then, is_interrupt
from agentbus.runtime.ref import LoopActorRef

if TYPE_CHECKING:
    from agentbus.runtime.runtime import Runtime

MESSAGES_PER_TURN = 64
"""After so many messages of one actor its loop serves the others."""


class Phase(enum.Enum):
    """Where in its life an actor is."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDING = "ending"
    ENDED = "ended"


class TurningActor(pykka.Actor):
    """The lower half of `LoopActor`. Its state belongs to the loop's thread."""

    runtime: Runtime
    loop: Loop
    _handlers: ClassVar[HandlerTable] = {}
    _mailbox: Mailbox
    _options: StartOptions
    _ref: LoopActorRef[Any]
    _attached = False

    def _attach(self, options: StartOptions) -> None:
        """Give the actor its place: runtime, loop, mailbox, address.

        Every attribute is set here, also those that most actors never change: instances of one class share
        the names of their attributes as long as all are set early, which makes an idle actor a third smaller.
        """
        runtime = options.runtime or _default_runtime()
        runtime.check_fork()
        self._attached = True
        self.runtime = runtime
        self.loop = options.loop or runtime.agents
        self._options = options
        self._mailbox = make_mailbox(options.mailbox, self._wake, self._dropped)
        self.actor_urn = runtime.registry.new_urn()
        self._ref = LoopActorRef(self, self._mailbox, self.actor_urn, options.name)
        self._actor_ref = self._ref
        self._phase = Phase.NEW
        self._free = 0
        self._busy = 0
        self._turning = False
        self._tasks: OwnedTasks | None = None
        self._timers: OwnedTimers | None = None
        self._watchers: tuple[Stop | Watch, ...] = ()
        self._end: tuple[DownReason, BaseException | None] = (DownReason.STOPPED, None)

    def __str__(self) -> str:
        return str(self._ref)

    @property
    def actor_stopped(self) -> threading.Event:  # type: ignore[override]  # made when asked for: memory
        """Whether the actor takes no more messages, as an event."""
        return self._ref.actor_stopped

    # -- turns ----------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._phase is Phase.NEW:
            return  # it looks as soon as it has started
        try:
            self.loop.call_soon(self._turn)
        except ForkedError:
            raise
        except RuntimeFault:
            self.abandon()

    def _turn(self) -> Any:
        """Handle what has come, the control lane first, but no more than others on the loop can wait for.

        What `_handle` gives ends the turn.
        """
        mailbox = self._mailbox
        items = mailbox.items
        handlers = self._handlers
        self._turning = True
        try:
            for _ in range(MESSAGES_PER_TURN):
                if mailbox.control:
                    self._handle_control(mailbox.take_control())
                elif self._free and items:
                    item = mailbox.take()
                    handler = handlers.get(item.__class__)
                    if handler is None:
                        waiting = self._handle(item)
                        if waiting is not None:
                            return waiting
                    else:
                        self._call(handler, item, None)
                elif not self._free or mailbox.rest():
                    return None  # whoever frees it, or puts something, calls for the next turn
        finally:
            self._turning = False
        self._wake()
        return None

    def _handle(self, item: Any) -> Any:
        """Handle an item that is no message of a known type."""
        if item.__class__ is Ask:
            if not item.future.done():  # else it was cancelled before its turn: it never starts
                self._call(self._handler_of(item.message), item.message, item.future)
        elif item.__class__ is Stop:
            self._stop_in_order(item)
        else:
            self._call(self._handler_of(item), item, None)

    def _handler_of(self, message: Any) -> Handler:
        """Find the handler of a message, which `on_receive` is by default."""
        handlers, kind = self._handlers, message.__class__
        return handlers.get(kind) or find_handler(handlers, kind, type(self).on_receive)

    def _call(self, handler: Handler, message: Any, future: Future[Any] | None) -> None:
        try:
            result = handler(self, message)
        except BaseException as error:  # whatever it is, it ends this actor at most
            self._handling_raised(message, future, error)
            if is_interrupt(error):
                raise
            return
        if result.__class__ is CoroutineType:
            self._await_handler(message, future, result)
        elif future is not None:
            future.try_set(result)

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

    # -- what the upper half decides ------------------------------------------------------------------------

    @abstractmethod
    def abandon(self) -> None:
        """End without another turn: the loop is closed."""

    @abstractmethod
    def _stop_in_order(self, stop: Any) -> None:
        """Take a stop request whose turn has come."""

    @abstractmethod
    def _stop_now(self, stop: Stop) -> None:
        """Take a stop request that does not wait for its turn."""

    @abstractmethod
    def _stop_if_idle(self) -> None:
        """Go on with a stop that waits for the handlers that run, if none does."""

    @abstractmethod
    def _fail(self, error: BaseException) -> None:
        """Take a failure that nobody is told of by a reply."""


def _default_runtime() -> Runtime:
    from agentbus.runtime.runtime import default_runtime  # it imports the modules above

    return default_runtime()
