"""What users subclass: `AgentActor` has a thread of its own, `AsyncAgentActor` lives on the agents' loop."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec

from agentbus.agents.budgets.account import BudgetAccount
from agentbus.agents.directory import MetadataValue
from agentbus.agents.events import AgentProgress
from agentbus.agents.failures import encodable
from agentbus.agents.handlers import HandlerTable
from agentbus.agents.queues.job_steps import AsyncJobSteps, JobSteps, attempt_of
from agentbus.agents.scope import current_scope
from agentbus.agents.shielding import shield
from agentbus.agents.silence import ReceiveTimeout, Silence
from agentbus.errors import AgentError, UnhandledMessageError
from agentbus.runtime import Clock, Runtime
from agentbus.runtime.cell_context import CellContext
from agentbus.runtime.cell_job import current_job, shielding

if TYPE_CHECKING:
    from agentbus.agents.bus import Bus
    from agentbus.agents.delivery import Delivery
    from agentbus.agents.lives.stall_watch import Marks, OnStall
    from agentbus.agents.ref import AgentRef
    from agentbus.agents.streams.attachment import Attachment

T = TypeVar("T")


class AgentContext(msgspec.Struct, frozen=True):
    """Where an agent lives; a new one after each restart.

    Attributes:
        bus: its bus.
        name: its name on it.
        address: the same as text, for everyone.
        cell: what its cell gives it.
        silence: how long it has heard nothing.
        table: its handlers.
        stalls: takes its marks of progress; None if it is not watched.
    """

    bus: Bus
    name: str
    address: str
    cell: CellContext
    silence: Silence
    table: HandlerTable
    stalls: Marks | None = None


class ChildLost(msgspec.Struct, frozen=True):
    """A child has given up, or stopped by a failure.

    Attributes:
        child: its ref; it leads nowhere any more.
        error: the last failure.
    """

    child: AgentRef
    error: BaseException


class Agent:
    """What both kinds of agent have in common.

    Attributes:
        capabilities: what an agent of this class is found by, on every node.
        public: peers without a node's token may ask and tell it too.
        receive_timeout: seconds without a message after which its handler of `ReceiveTimeout` is called; None
            for never.
        metadata: facts that it is found by, too: text, numbers, booleans.
        stall_timeout: seconds that it may be busy with one message without `self.progress()`; None = any.
        on_stall: "report" an `AgentStalled`, or "restart" it too.
        ends_last: when its bus ends, it goes on until the other agents have ended.
    """

    capabilities: ClassVar[tuple[str, ...]] = ()
    public: ClassVar[bool] = False
    receive_timeout: ClassVar[float | None] = None
    metadata: ClassVar[Mapping[str, MetadataValue]] = {}
    stall_timeout: ClassVar[float | None] = None
    on_stall: ClassVar[OnStall] = "report"
    ends_last: ClassVar[bool] = False
    _context: AgentContext

    # -- hooks -----------------------------------------------------------------------------------------------

    def on_start(self) -> Any:
        """Run before the first message, after a restart too; what it raises is a failure."""

    def on_stop(self) -> Any:
        """Run after the last message, if it ends without a failure."""

    def on_failure(self, error: BaseException) -> Any:
        """Run after a failure, before this object is replaced or the agent ends."""

    def on_child_lost(self, lost: ChildLost) -> Any:
        """Hear that a child has given up; raise to fail with it. By default the event of it is enough."""

    def on_control(self, message: Any) -> Any:
        """Take what `ref.steer` said, past the mailbox and one at a time; what it raises is a failure.

        An async agent is told also while its handlers await; a sync one between messages, and where it calls
        `checkpoint`.
        """

    def snapshot(self) -> Any:
        """Give the agent's state as JSON values; asked after each message if it has a store.

        A class without this and `restore` can't be spawned with a store.
        """

    def restore(self, state: Any) -> None:
        """Take over what `snapshot` gave: before `on_start`, if anything was stored, and to undo a message.

        A message is undone that was cancelled, or too late, while it was handled.
        """

    # -- the agent -------------------------------------------------------------------------------------------

    @property
    def bus(self) -> Bus:
        """The bus that hosts this agent."""
        return self._context.bus

    @property
    def name(self) -> str:
        """The agent's name on its node."""
        return self._context.name

    @property
    def ref(self) -> AgentRef:
        """The agent's own address; the same after a restart."""
        return self.bus.ref(self._context.address)

    @property
    def runtime(self) -> Runtime:
        """The runtime that it lives on; source of chance and ids too."""
        return self._context.cell.runtime

    @property
    def clock(self) -> Clock:
        """The clock that deadlines are read on."""
        return self.runtime.clock

    @property
    def restarts(self) -> int:
        """How often this agent was restarted so far."""
        return self._context.cell.incarnation - 1

    @property
    def paused(self) -> bool:
        """Whether this agent takes no messages until somebody resumes it."""
        return self._context.cell.ref.paused

    def spawn(self, cls: type[Any], *args: Any, **options: Any) -> AgentRef:
        """Start a child: it is stopped when this agent stops or restarts, unless `detached=True`.

        Args:
            cls: see `Bus.spawn`.
            args: see `Bus.spawn`.
            options: see `Bus.spawn`, and `detached`.
        """
        return self.bus.spawn_child(self._context, cls, *args, **options)

    def set_receive_timeout(self, seconds: float | None) -> None:
        """Be told by a `ReceiveTimeout` when no message has come for so long, again and again.

        Args:
            seconds: more than 0; None to be told no more.

        Raises:
            TypeError: no handler takes `ReceiveTimeout`.
        """
        if seconds is not None:
            check_receive_timeout(type(self), self._context.table)
        self._context.silence.set(seconds)

    # -- the message that is being handled -------------------------------------------------------------------

    @property
    def _delivery(self) -> Delivery:
        scope = current_scope.get()
        if scope is None or scope.delivery is None:
            raise AgentError("there is no message here: this can be asked in a handler only")
        return scope.delivery

    @property
    def sender(self) -> AgentRef | None:
        """The agent that sent the message; None for a program outside any agent."""
        sender = self._delivery.headers.sender
        return None if sender is None else self.bus.ref(sender)

    @property
    def deadline(self) -> float | None:
        """When the sender stops waiting, on `self.clock`; None if it waits for ever."""
        return self._delivery.headers.deadline

    @property
    def time_left(self) -> float | None:
        """Seconds until the deadline, below 0 when it has passed; None without one."""
        deadline = self.deadline
        return None if deadline is None else deadline - self.clock.monotonic()

    @property
    def budget(self) -> BudgetAccount:
        """The account that pays for this message; without limits where it was given no budget."""
        return self._delivery.headers.budget or BudgetAccount()

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants the result any more: the asker gave up, or the agent is being stopped."""
        cancelled = self._context.cell.cancel_token.cancelled
        if cancelled:
            attempt = attempt_of(current_scope.get())
            if attempt is not None:
                attempt.noticed = True
        return cancelled

    def shielded(self) -> AbstractContextManager[None]:
        """Leave the asks that are sent within alone when the message is cancelled, or its deadline passes.

        For steps that must not be cut in two; `self.cancelled` still tells.
        """
        return shielding()

    @property
    def attachment(self) -> Attachment:
        """What the sender attached, for `for` in an `AgentActor` and `async for` in an `AsyncAgentActor`.

        Raises:
            AgentError: it attached nothing, or an earlier try of this message has read of it.
        """
        attachment, job = self._delivery.attachment, current_job.get()
        if attachment is None:
            raise AgentError("nothing is attached to this message: it was sent without attach=")
        if attachment.begun and job is not None and job.attempts:
            raise AgentError("what was attached was read by an earlier try of this message")
        return attachment

    def reply(self, value: Any) -> None:
        """Answer now; what the handler returns later is ignored. Without an asker nothing happens.

        To a stream it is the last chunk.
        """
        job = current_job.get()
        if job is not None:
            outlet = self._delivery.outlet
            if outlet is not None:
                outlet.put(value)
            job.reply(value)

    def progress(self, note: str = "", *, done: float | None = None) -> None:
        """Report progress as an event of this node's bus; a sign that the handling is not stalled.

        Args:
            note: for people; half characters in it, as names of files may have them, become `?`.
            done: how much of it is done, 0 to 1.
        """
        note = encodable(note)
        self.bus.report(AgentProgress(self._context.address, note, done))
        scope = current_scope.get()
        if self._context.stalls is not None and scope is not None and scope.delivery is not None:
            self._context.stalls.mark(scope.delivery)
        attempt = attempt_of(scope)
        if attempt is not None:
            attempt.desk.progress(attempt.lease.token, done, note)


def check_receive_timeout(cls: type[Agent], table: HandlerTable) -> None:
    """Refuse a receive time-out that nobody would hear of.

    Raises:
        TypeError: no handler takes `ReceiveTimeout`.
    """
    try:
        table.find(ReceiveTimeout)
    except UnhandledMessageError:
        raise TypeError(
            f"{cls.__qualname__} has a receive time-out and no handler of ReceiveTimeout"
        ) from None


class AgentActor(Agent, JobSteps):
    """An agent on a thread of its own: handlers may block; one message at a time."""

    def checkpoint(self) -> None:
        """Call this now and then in a handler that takes long: what `pause` and `steer` said is applied here.

        Raises:
            FutureCancelledError: nobody wants the result any more; let it through.
            Exception: what `on_control` raised.
        """
        self._context.cell.checkpoint()


class AsyncAgentActor(Agent, AsyncJobSteps):
    """An agent on the agents' loop: `async def` handlers, one message at a time unless it asks for more.

    Attributes:
        concurrency: messages that may be handled at a time.
        reentrant: while a handler awaits an ask, asks that this one led to are let in beside it; without it
            they fail with `DeadlockError`.
    """

    concurrency: ClassVar[int] = 1
    reentrant: ClassVar[bool] = False

    async def shield(self, step: Awaitable[T]) -> T:
        """Run a step to its end though the message is cancelled; the cancellation is delivered after it.

        Args:
            step: a coroutine, whose asks do not inherit the message's deadline; or the future of an ask.

        Raises:
            Exception: the step's own failure, also if the message was cancelled.
        """
        return await shield(step)
