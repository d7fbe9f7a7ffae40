"""What a cell gives to the behaviour inside it; each behaviour gets a new one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, TypeVarTuple

from agentbus.errors import AgentRestarted
from agentbus.runtime.cell_job import CancelToken, Job, current_job, shielded
from agentbus.runtime.clock import Clock
from agentbus.runtime.future import Future
from agentbus.runtime.loop import Loop

if TYPE_CHECKING:
    from agentbus.runtime.cell import CellOptions, CellRef, Factory, Observer
    from agentbus.runtime.runtime import Runtime

T = TypeVar("T")
Args = TypeVarTuple("Args")
Closer = Callable[[Exception], object]

_log = logging.getLogger("agentbus.runtime")


class Timer(Protocol):
    """A call that was put off."""

    def cancel(self) -> None:
        """Call it off."""
        ...


class CellContext:
    """A behaviour's view of its cell.

    Attributes:
        ref: the cell's address, the same for every behaviour in it.
        runtime: the runtime it belongs to.
        loop: the loop it lives on; for a cell with a thread of its own the agents' loop.
        incarnation: how many behaviours the cell has had, this one included.
        last_error: what ended the one before; None for the first.
    """

    def __init__(
        self,
        ref: CellRef,
        runtime: Runtime,
        *,
        incarnation: int,
        last_error: BaseException | None,
        timer: Callable[[float, Callable[[], object]], Timer],
        checkpoint: Callable[[], None],
    ) -> None:
        self.ref = ref
        self.runtime = runtime
        self.loop: Loop = runtime.agents
        self.incarnation = incarnation
        self.last_error = last_error
        self._timer = timer
        self._checkpoint = checkpoint
        self._owned: dict[object, Closer] = {}
        self._asks: dict[Future[Any], None] = {}
        self._closed_by: Exception | None = None

    @property
    def name(self) -> str:
        """The cell's name."""
        return self.ref.name

    @property
    def clock(self) -> Clock:
        """The clock that the loop's timers agree with."""
        return self.loop.clock

    # -- the message that is being handled ------------------------------------------------------------------

    @property
    def cancel_token(self) -> CancelToken:
        """Whether the message that the calling code handles is still wanted."""
        job = current_job.get()
        return CancelToken() if job is None else job.token

    def checkpoint(self) -> None:
        """Apply what waits on the control lane of a cell on a thread, and see whether to go on.

        Raises:
            FutureCancelledError: nobody wants the message handled any more.
            Exception: what `on_control` raised.
        """
        self._checkpoint()
        job = current_job.get()
        if job is not None:
            job.check()

    @property
    def reply_expected(self) -> bool:
        """Whether somebody waits for the reply to the message that the calling code handles."""
        job = current_job.get()
        return job is not None and job.future is not None

    # -- what ends with this behaviour ----------------------------------------------------------------------

    def own(self, closer: Closer) -> Callable[[], None]:
        """Call `closer(error)` when this behaviour's time ends, the youngest first.

        Args:
            closer: gets an `AgentRestarted` or an `AgentStopped`; on the cell's thread or loop.

        Returns:
            What to call when there is nothing to close any more.
        """
        if self._closed_by is not None:
            closer(self._closed_by)
            return lambda: None
        key = object()
        self._owned[key] = closer
        return partial(self._disown, key)

    def _disown(self, key: object) -> None:
        self._owned.pop(key, None)

    def track(self, future: Future[T]) -> Future[T]:
        """Cancel an ask that the behaviour has sent when its time ends, or when the message is cancelled.

        That is the message whose handling has sent it, unless the step is shielded.
        """
        job = current_job.get()
        self.keep(future, job)
        future.add_done_callback(lambda done: self.drop(done, job))
        return future

    def keep(self, ask: Future[Any], job: Job | None) -> None:
        """Do as `track`, for who calls `drop` once the ask is done."""
        if self._closed_by is not None:
            ask.cancel()
            return
        self._asks[ask] = None
        if job is not None and not shielded.get():
            job.keep(ask)

    def drop(self, ask: Future[Any], job: Job | None) -> None:
        """Let an ask be that is done."""
        self._asks.pop(ask, None)
        if job is not None and job.asks is not None:
            job.asks.pop(ask, None)

    @property
    def open_asks(self) -> int:
        """Count the asks that this behaviour has sent and that are not done."""
        return len(self._asks)

    def call_later(self, delay: float, fn: Callable[[*Args], object], *args: *Args) -> Timer:
        """Call `fn(*args)` in `delay` seconds, between messages, unless this behaviour's time ends before.

        If it raises, the behaviour fails.
        """
        return self._timer(delay, partial(fn, *args))

    def start_cell(
        self,
        factory: Factory,
        options: CellOptions,
        observer: Observer | None = None,
        *,
        detached: bool = False,
    ) -> CellRef:
        """Start a child.

        It is stopped when this behaviour's time ends: at once, or after its mailbox if this cell stops, too.
        When it gives up, this cell gets a `ChildDown` on its control lane.

        Args:
            factory: see `start_cell`.
            options: see `start_cell`; this cell becomes the parent unless they name another.
            observer: see `start_cell`.
            detached: leave it alone when this behaviour's time ends.
        """
        from agentbus.runtime.cell import start_cell  # it imports this module

        if options.parent is None:
            options = replace(options, parent=self.ref)
        child = start_cell(self.runtime, factory, options, observer)
        if not detached:
            disown = self.own(lambda error: child.stop(now=isinstance(error, AgentRestarted)))
            child.ended().add_done_callback(lambda _future: disown())
        return child

    def close(self, error: Exception) -> None:
        """Close what this behaviour owns; for the cell."""
        self._closed_by = error
        for ask in list(self._asks):
            ask.cancel()
        while self._owned:
            try:
                _key, closer = self._owned.popitem()
            except KeyError:
                return
            try:
                closer(error)
            except Exception:  # noqa: BLE001 -- one that can't be closed must not keep the others open
                _log.exception("%s could not close what it owned", self.ref)
