"""Plain pykka actor classes, supervised as they are: the actor becomes the behaviour of a cell.

Its constructor, hooks, `on_receive`, proxies, `self.stop()` and `self.actor_ref` work as in pykka, its
exceptions in asks go to the asker and are no failures, and its address and mailbox outlive it. What it can't
bring is a thread or inbox of its own kind: overrides of pykka's internal `_actor_loop` and
`_create_actor_inbox` are not called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pykka
from pykka import messages

from agentbus.runtime.actor import LoopActor
from agentbus.runtime.cell import CellOptions, CellRef, Observer, start_cell
from agentbus.runtime.cell_context import CellContext

if TYPE_CHECKING:
    from agentbus.runtime.runtime import Runtime


class PykkaBehaviour:
    """A pykka actor without a life of its own.

    Args:
        context: from the cell.
        make: makes the actor.
    """

    def __init__(self, context: CellContext, make: Callable[[], pykka.Actor]) -> None:
        self._context = context
        self._actor = actor = make()
        ref = context.ref.actor_ref
        ref.stand_for(actor)
        actor.actor_urn = ref.actor_urn
        actor.actor_inbox = ref.actor_inbox
        actor.actor_stopped = ref.actor_stopped
        actor._actor_ref = ref  # pyright: ignore[reportPrivateUsage]  # pykka's constructor sets it, too

    def on_start(self) -> Any:
        """Call the actor's hook."""
        return self._actor.on_start()

    def on_message(self, message: Any) -> Any:
        """Let the actor handle a message, or one of pykka's own."""
        if isinstance(message, messages._ActorStop):  # pyright: ignore[reportPrivateUsage]  # from `self.stop()`
            self._context.ref.stop(now=True)
            return None
        return self._actor._handle_receive(message)  # pyright: ignore[reportPrivateUsage]  # as pykka's own loop

    def on_control(self, message: Any) -> Any:
        """Let the actor handle a message; it knows no lanes."""
        return self.on_message(message)

    def on_stop(self) -> Any:
        """Call the actor's hook."""
        return self._actor.on_stop()

    def on_failure(self, error: BaseException) -> Any:
        """Call the actor's hook."""
        return self._actor.on_failure(type(error), error, error.__traceback__)

    def is_reply_error(self, error: BaseException) -> bool:
        """Pykka's rule: what an ask raises is its answer."""
        return self._context.reply_expected and isinstance(error, Exception)


def adopt_pykka(
    runtime: Runtime,
    cls: type[pykka.Actor],
    *args: Any,
    cell_options: CellOptions | None = None,
    cell_observer: Observer | None = None,
    **kwargs: Any,
) -> CellRef:
    """Start an actor of a plain pykka class, supervised.

    Args:
        runtime: see `start_cell`.
        cls: a class for threads, such as a `pykka.ThreadingActor`.
        *args: for the constructor.
        cell_options: by default the class's name, and a thread of its own.
        cell_observer: see `start_cell`.
        **kwargs: for the constructor.

    Raises:
        TypeError: `cls` is a `LoopActor`, whose starter supervises it through `on_exit`.
    """
    if issubclass(cls, LoopActor):
        raise TypeError(
            f"{cls.__qualname__} is a LoopActor: start it with start_with(), and watch its on_exit"
        )
    options = cell_options or CellOptions(name=cls.__name__, thread=True)
    return start_cell(
        runtime,
        lambda context: PykkaBehaviour(context, lambda: cls(*args, **kwargs)),
        options,
        cell_observer,
    )
