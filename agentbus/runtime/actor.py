"""`LoopActor`: pykka's actor, drained by an event loop instead of a thread of its own.

A subclass overrides the hooks below and marks handlers with `@receives(Type)`; each may be `async def`. How a
life goes, from `on_start` to the last act, is in `agentbus.runtime.life`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, TypeVarTuple

from pykka import messages

from agentbus.runtime.clock import Clock
from agentbus.runtime.dispatch import build_table, receives
from agentbus.runtime.down import StartOptions
from agentbus.runtime.envelope import Stop
from agentbus.runtime.faults import ActorGoneError
from agentbus.runtime.future import Future
from agentbus.runtime.life import LivingActor
from agentbus.runtime.owned import OwnedTimer, OwnedTimers
from agentbus.runtime.ref import LoopActorRef
from agentbus.runtime.turns import Phase

T = TypeVar("T")
Args = TypeVarTuple("Args")

_log = logging.getLogger("agentbus.runtime")


class LoopActor(LivingActor):
    """An actor on an event loop.

    It handles one message at a time, or up to `concurrency` if their handlers are coroutines. Messages to the
    control lane, timers and tasks of its own are served while a handler awaits. It must never block.

    Attributes:
        runtime: the runtime it belongs to.
        loop: the loop it lives on.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Build the table of handlers, once per class."""
        super().__init_subclass__(**kwargs)
        cls._handlers = build_table(cls)

    @classmethod
    def start(  # pyright: ignore[reportIncompatibleMethodOverride]  # both are refs of Self
        cls, *args: Any, **kwargs: Any
    ) -> LoopActorRef[Self]:
        """Start an actor on the agents' loop of the default runtime; the arguments go to `__init__`."""
        return cls.start_with(StartOptions(), *args, **kwargs)

    @classmethod
    def start_with(cls, options: StartOptions, /, *args: Any, **kwargs: Any) -> LoopActorRef[Self]:
        """Start an actor as `options` say; the other arguments go to `__init__`.

        `__init__` runs on the calling thread, everything else on the loop's.

        Raises:
            RuntimeFault: the loop is closed.
            ForkedError: the runtime was made before a fork.
        """
        actor = cls.__new__(cls)
        actor._attach(options)
        actor.__init__(*args, **kwargs)  # type: ignore[misc]  # what `cls()` does, with the above in between
        registry = actor.runtime.registry
        registry.register(actor.actor_ref)
        try:
            actor._start_actor_loop()
        except BaseException:
            registry.unregister(actor.actor_ref)
            raise
        return actor.actor_ref

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        if not self._attached:
            self._attach(StartOptions())

    # -- hooks: each may be a coroutine ---------------------------------------------------------------------

    def on_start(self) -> Any:
        """Run code before the first message. If it raises, the actor ends, and `on_exit` is told."""

    def on_stop(self) -> Any:
        """Run code after the last message, unless the actor ends by a failure."""

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Any:
        """Run code after a failure, before the actor ends."""

    def on_receive(self, message: Any) -> Any:
        """Handle a message that no handler claims; its return value is the reply."""
        _log.warning("%s has no handler for a message of type %s", self, type(message).__qualname__)

    def on_control(self, message: Any) -> Any:
        """Handle a message from the control lane; by default like any other."""
        return self._handler_of(message)(self, message)

    # -- for use in handlers --------------------------------------------------------------------------------

    @property
    def actor_ref(  # pyright: ignore[reportIncompatibleMethodOverride]  # both are refs of Self
        self,
    ) -> LoopActorRef[Self]:
        """The actor's own address."""
        return self._ref

    @property
    def clock(self) -> Clock:
        """The clock that the loop's timers agree with."""
        return self.loop.clock

    def stop(self, *, now: bool = False) -> None:
        """End, after what is in the mailbox or at once; no error if the actor has ended."""
        if now:
            self._mailbox.put_control(Stop(None))
            return
        try:
            self._mailbox.put_stop(Stop(None))
        except ActorGoneError:
            return

    def call_later(self, delay: float, fn: Callable[[*Args], object], *args: *Args) -> OwnedTimer:
        """Call `fn(*args)` in `delay` seconds, unless the actor ends before; on the loop's thread only.

        It runs between messages, also while a handler awaits. If it raises, the actor fails.
        """
        if self._timers is None:
            self._timers = OwnedTimers()
        return self._timers.call_later(self.loop, delay, partial(self._run_own, partial(fn, *args)))

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine beside the messages, at most until the actor ends; on the loop's thread only.

        If it raises, the actor fails.

        Raises:
            ActorGoneError: the actor has ended.
        """
        if self._phase is Phase.ENDED:
            coroutine.close()
            raise ActorGoneError(f"{self} has ended; it runs no more tasks")
        return self._own_tasks().start(coroutine, self._own_work_ended)

    # -- dispatch -------------------------------------------------------------------------------------------

    @receives(messages.ProxyCall)
    def _proxy_call(self, call: messages.ProxyCall) -> Any:
        return _attribute(self, call.attr_path)(*call.args, **call.kwargs)

    @receives(messages.ProxyGetAttr)
    def _proxy_get(self, get: messages.ProxyGetAttr) -> Any:
        return _attribute(self, get.attr_path)

    @receives(messages.ProxySetAttr)
    def _proxy_set(self, change: messages.ProxySetAttr) -> None:
        setattr(_attribute(self, change.attr_path[:-1]), change.attr_path[-1], change.value)

    @staticmethod
    def _create_future() -> Future[Any]:
        return Future(cancellable_by_waiter=True)


def _attribute(root: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        root = getattr(root, name)
    return root


LoopActor._handlers = build_table(LoopActor)  # pyright: ignore[reportPrivateUsage]  # no subclass of itself
