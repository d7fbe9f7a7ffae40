"""Cells: an address, a mailbox and a thread or loop that outlive the behaviour inside them.

A restart replaces the behaviour and keeps the cell, so that nobody who holds its address notices more than a
pause. What a restart does to messages, askers and what the behaviour owned is in `cell_life` and `cell_core`;
on what thread it happens, in `cell_loop` and `cell_thread`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from agentbus.errors import AgentStopped, MailboxFullError
from agentbus.runtime.cell_context import CellContext
from agentbus.runtime.cell_control import MAX_CONTROLS, Control, Steer, Switch
from agentbus.runtime.cell_core import CellCore, CellStatus
from agentbus.runtime.cell_events import CellEvent, CellState
from agentbus.runtime.cell_group import CellGroup
from agentbus.runtime.cell_loop import LoopCell
from agentbus.runtime.cell_thread import ThreadCell
from agentbus.runtime.down import StartOptions
from agentbus.runtime.envelope import Ask
from agentbus.runtime.future import Future
from agentbus.runtime.mailbox import Mailbox, MailboxOptions
from agentbus.runtime.ref import LoopActorRef
from agentbus.runtime.supervision import RestartPolicy

if TYPE_CHECKING:
    from agentbus.runtime.runtime import Runtime


class Behaviour(Protocol):
    """What a cell runs. On a loop each method may be a coroutine; on a thread none may.

    It may also have `is_reply_error(error) -> bool`: True makes an exception that a handler raises an answer
    to its asker, and no failure.
    """

    def on_start(self) -> Any:
        """Run before the first message; what it raises is a failure."""
        ...

    def on_message(self, message: Any) -> Any:
        """Handle a message; the result is the reply, what it raises is a failure, whether asked or told."""
        ...

    def on_control(self, message: Any) -> Any:
        """Handle a message from the control lane, also while others are being handled."""
        ...

    def on_stop(self) -> Any:
        """Run after the last message, if it ends without a failure."""
        ...

    def on_failure(self, error: BaseException) -> Any:
        """Run after a failure, before this behaviour is replaced or the cell ends."""
        ...


class Parent(Protocol):
    """Who is told that a child gave up."""

    def tell_control(self, message: Any) -> object:
        """Take a message that overtakes."""
        ...


Factory = Callable[[CellContext], Behaviour]
Observer = Callable[[CellEvent], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellOptions:
    """Name and rules of a cell.

    Attributes:
        name: for addresses, logs, events and dead letters.
        mailbox: how much it holds, and what happens beyond; also while backing off.
        restart: what follows a failure; the group's policy if there is a group.
        concurrency: messages at a time, if their handlers are coroutines; always 1 on a thread.
        thread: whether it lives on a thread of its own instead of the agents' loop.
        retry_poison: overrides the policy's.
        parent: who gets a `ChildDown` when it gives up.
        group: shares its fate; see `CellGroup`.
    """

    name: str
    mailbox: MailboxOptions = field(default_factory=MailboxOptions)
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    concurrency: int = 1
    thread: bool = False
    retry_poison: int | None = None
    parent: Parent | None = None
    group: CellGroup | None = None


class CellRef:
    """The address of a cell; the same before and after restarts, safe to pass to any thread.

    Attributes:
        name: the cell's name.
        actor_ref: the same address as an actor's, for code that speaks pykka.
    """

    __slots__ = ("_mailbox", "_status", "actor_ref", "name")

    def __init__(self, name: str, actor_ref: LoopActorRef[Any], mailbox: Mailbox, status: CellStatus) -> None:
        self.name = name
        self.actor_ref = actor_ref
        self._mailbox = mailbox
        self._status = status

    def __repr__(self) -> str:
        return f"<CellRef {self.name!r} {self.state.value}>"

    def tell(self, message: Any) -> None:
        """Send a message and don't wait.

        Raises:
            AgentStopped: the cell has ended.
            MailboxFullError: there is no room, and the mailbox does not block here.
        """
        self._mailbox.put(message)

    def ask(self, message: Any, future: Future[Any] | None = None) -> Future[Any]:
        """Send a message and give the future of its reply; cancelling that cancels the handler.

        It fails with what `tell` raises, and with `AgentFailed`, `AgentRestarted` or `AgentStopped`.

        Args:
            message: what is asked.
            future: to be used; a new one by default.
        """
        if future is None:
            future = Future(cancellable_by_waiter=True)
        try:
            self._mailbox.put(Ask(message, future))
        except (AgentStopped, MailboxFullError) as error:
            future.try_set_exception(error)
        return future

    def ask_now(self, message: Any, future: Future[Any] | None = None) -> Future[Any]:
        """Send a message like `ask`, but never wait for room: it fails with `MailboxFullError` then."""
        if future is None:
            future = Future(cancellable_by_waiter=True)
        try:
            self._mailbox.put_now(Ask(message, future))
        except (AgentStopped, MailboxFullError) as error:
            future.try_set_exception(error)
        return future

    def when_room(self, callback: Callable[[], object]) -> bool:
        """Call back once the mailbox has room, or takes nothing any more; False, no call, if that is now."""
        return self._mailbox.when_room(callback)

    def tell_control(self, message: Any) -> bool:
        """Send a message that overtakes the mailbox, whatever its capacity; False if the cell has ended."""
        return self._mailbox.put_control(message)

    def pause(self) -> Future[bool]:
        """Have it take no more messages; what runs goes on, and the mailbox fills.

        Returns:
            The future of when that holds; False if the cell ends before, or is to stop anyway. It fails with
            `MailboxFullError` if too many such requests wait.
        """
        return self._control(Switch(paused=True))

    def resume(self) -> Future[bool]:
        """Have it take messages again; see `pause`."""
        return self._control(Switch(paused=False))

    def steer(self, message: Any) -> Future[bool]:
        """Hand a message to the behaviour's `on_control`, past the mailbox; cancelling it before is in time.

        Returns:
            The future of when that has returned; False if the cell ends before. It fails with `AgentFailed`
            if it raised, and with `MailboxFullError` if too many such requests wait.
        """
        return self._control(Steer(message))

    def _control(self, control: Control) -> Future[bool]:
        if len(self._mailbox.control) + len(self._status.controls) >= MAX_CONTROLS:
            control.future.set_exception(MailboxFullError(MAX_CONTROLS))
        elif not self._mailbox.put_control(control):
            control.future.set(False)
        return control.future

    @property
    def paused(self) -> bool:
        """Whether it takes no messages until it is resumed."""
        return self._mailbox.paused

    def stop(self, *, now: bool = False) -> Future[bool]:
        """Ask the cell to end after its mailbox, or at once; the future says whether it was alive."""
        self._status.draining = True
        return self.actor_ref.stop(block=False, now=now)

    def ended(self) -> Future[bool]:
        """Give the future of the end, without asking for it."""
        return self.actor_ref.ended()

    def is_alive(self) -> bool:
        """Whether it takes messages."""
        return not self._mailbox.refuses

    @property
    def queue_length(self) -> int:
        """How many messages wait."""
        return len(self._mailbox)

    @property
    def busy(self) -> int:
        """How many messages are being handled, those of handlers that block their loop not included."""
        shell = self._status.shell
        return 0 if shell is None else shell.busy

    @property
    def draining(self) -> bool:
        """Whether it was asked to end, or is ending."""
        return self._status.draining or self._status.state in {CellState.STOPPING, CellState.STOPPED}

    @property
    def state(self) -> CellState:
        """Where in its life it is."""
        return self._status.state

    @property
    def restarts(self) -> int:
        """How many behaviours it has had after the first."""
        return max(0, self._status.incarnation - 1)


def start_cell(
    runtime: Runtime, factory: Factory, options: CellOptions, observer: Observer | None = None
) -> CellRef:
    """Start a cell.

    Args:
        runtime: whose loop, clock, registry and dead letters.
        factory: makes a behaviour, now and after each failure; on the cell's own thread or loop.
        options: name and rules.
        observer: gets every `CellEvent`, on the cell's own thread or loop; it must not block.

    Raises:
        RuntimeFault: the loop is closed.
        ForkedError: the runtime was made before a fork.
    """
    core = CellCore(runtime, factory, options, observer)
    if options.thread:
        ThreadCell(core).start_thread()
    else:
        start = StartOptions(
            runtime=runtime,
            mailbox=options.mailbox,
            name=options.name,
            concurrency=options.concurrency,
        )
        LoopCell.start_with(start, core)
    return core.ref
