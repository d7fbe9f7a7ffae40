"""How others reach an actor that lives on a loop: pykka's `ActorRef`, with our futures and a control lane."""

from __future__ import annotations

import threading
import weakref
from typing import Any, Literal, Protocol, TypeVar, overload, runtime_checkable

import pykka

from agentbus.errors import ActorStoppedError, MailboxFullError
from agentbus.runtime import blocking, forks
from agentbus.runtime.envelope import Ask, Stop, Watch
from agentbus.runtime.faults import ActorGoneError
from agentbus.runtime.future import Future
from agentbus.runtime.mailbox import Mailbox

A = TypeVar("A", bound=pykka.Actor)


@runtime_checkable
class Abandonable(Protocol):
    """An actor that can be ended from outside, where its own loop can't any more."""

    def abandon(self) -> None:
        """End without another turn."""
        ...


class StoppedFlag(threading.Event):
    """What pykka calls `actor_stopped`, without a lock: a view of the mailbox."""

    def __init__(self, mailbox: Mailbox, ref: LoopActorRef[Any]) -> None:
        self._mailbox = mailbox
        self._ref = ref

    def __repr__(self) -> str:
        return f"<StoppedFlag {'set' if self.is_set() else 'unset'}>"

    def is_set(self) -> bool:
        """Whether the actor takes no more messages."""
        return self._mailbox.refuses

    def set(self) -> None:
        """Stop the actor at once."""
        self._mailbox.put_control(Stop(None))

    def clear(self) -> None:
        """Refuse: an actor that has stopped can't be started again."""
        raise ActorGoneError("an actor that has stopped can't be started again; start a new one")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the actor's end, at most `timeout` seconds; whether it came."""
        try:
            self._ref.ended().get(timeout)
        except TimeoutError:
            return False
        return True


class LoopActorRef(pykka.ActorRef[A]):
    """The address of a running actor; safe to pass to any thread.

    Attributes:
        actor_class: the actor's class.
        actor_urn: its name in the registry.
        name: what its starter calls it; for logs.
    """

    def __init__(self, actor: A, mailbox: Mailbox, urn: str, name: str | None) -> None:
        self._actor_weakref = self._living = weakref.ref(actor)
        self._mailbox = mailbox
        self.actor_class = actor.__class__
        self.actor_urn = urn
        self.name = name

    def __str__(self) -> str:
        return f"{self.name or self.actor_class.__name__} ({self.actor_urn})"

    @property
    def actor_inbox(self) -> Any:  # type: ignore[override]  # read only
        """The mailbox; `tell` and `ask` are the way to put something there."""
        return self._mailbox

    @property
    def actor_stopped(self) -> threading.Event:  # type: ignore[override]  # made when asked for: memory
        """Whether the actor takes no more messages, as an event."""
        return StoppedFlag(self._mailbox, self)

    def is_alive(self) -> bool:
        """Whether the actor takes messages."""
        return not self._mailbox.refuses

    def tell(self, message: Any) -> None:
        """Send a message and don't wait.

        Raises:
            ActorGoneError: the actor has stopped.
            MailboxFullError: there is no room, and the mailbox does not block here.
        """
        self._mailbox.put(message)

    def tell_control(self, message: Any) -> None:
        """Send a message that overtakes the mailbox, whatever its capacity; who has ended ignores it."""
        self._mailbox.put_control(message)

    @overload
    def ask(self, message: Any, *, block: Literal[False], timeout: float | None = None) -> Future[Any]: ...

    @overload
    def ask(self, message: Any, *, block: Literal[True] = True, timeout: float | None = None) -> Any: ...

    @overload
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any | Future[Any]: ...

    def ask(  # pyright: ignore[reportIncompatibleMethodOverride]  # pykka's own overloads, word for word
        self, message: Any, *, block: bool = True, timeout: float | None = None
    ) -> Any:
        """Send a message and get the reply, or with `block=False` the future of it.

        Args:
            message: what to send.
            block: wait for the reply. Not on a loop's thread: `await ref.ask(message, block=False)` there.
            timeout: seconds to wait at most if `block`; None = for ever.

        Raises:
            BlockingCallError: this thread runs a loop of the runtime; nothing was sent.
            FutureTimeout: time ran out; a `pykka.Timeout` too.
            ActorGoneError: the actor has stopped, or stopped before it handled the message.
            Exception: what the actor raised.
        """
        if block:
            blocking.check("ask()")
        future: Future[Any] = Future(cancellable_by_waiter=True)
        try:
            self._mailbox.put(Ask(message, future))
        except (ActorStoppedError, MailboxFullError) as error:
            future.set_exception(error)
        return future.get(timeout) if block else future

    @overload
    def stop(
        self, *, block: Literal[True] = True, timeout: float | None = None, now: bool = False
    ) -> bool: ...

    @overload
    def stop(
        self, *, block: Literal[False], timeout: float | None = None, now: bool = False
    ) -> Future[bool]: ...

    @overload
    def stop(
        self, *, block: bool = True, timeout: float | None = None, now: bool = False
    ) -> bool | Future[bool]: ...

    def stop(
        self, *, block: bool = True, timeout: float | None = None, now: bool = False
    ) -> bool | Future[bool]:
        """Ask the actor to stop.

        Args:
            block: wait until it has.
            timeout: seconds to wait at most if `block`; None = for ever.
            now: don't handle what is in the mailbox, and cancel what is being handled.

        Returns:
            Whether the actor was alive, once it has ended; with `block=False` the future of that.

        Raises:
            BlockingCallError: this thread runs a loop of the runtime; nothing was sent.
            FutureTimeout: time ran out; a `pykka.Timeout` too.
        """
        if block:
            blocking.check("stop()")
        future: Future[bool] = Future()
        if not now:
            self._stop_in_order(future)
        elif not self._mailbox.put_control(Stop(future)):
            future.set(value=False)
        return future.get(timeout) if block else future

    def _stop_in_order(self, future: Future[bool]) -> None:
        try:
            self._mailbox.put_stop(Stop(future))
        except ActorStoppedError:
            self._watch(future, was_alive=False)

    def ended(self) -> Future[bool]:
        """Give the future of the actor's end, without asking for it; its value is whether it was alive."""
        future: Future[bool] = Future()
        self._watch(future, was_alive=self.is_alive())
        return future

    def abandon(self) -> None:
        """End the actor without another turn, and tell who waits for it: its loop is closed."""
        actor = self._living()
        if isinstance(actor, Abandonable):
            actor.abandon()

    def stand_for(self, actor: Any) -> None:
        """Show `actor` to proxies and registries, instead of the cell that it lives in."""
        self._actor_weakref = weakref.ref(actor)
        self.actor_class = type(actor)

    def inherit(self) -> None:
        """Refuse everything from now on: a fork made this copy of the ref, but none of the actor's loop."""
        Mailbox.refuse(self._mailbox, lambda: forks.forked_error(self))  # no lock: its holder stayed behind

    def _watch(self, future: Future[bool], *, was_alive: bool) -> None:
        if not self._mailbox.put_control(Watch(future, was_alive)):
            future.set(value=False)
