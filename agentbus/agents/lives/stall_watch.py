"""Watches an agent for stalls, reports them, and, if it is to, cancels and restarts the agent.

Nobody can cancel a thread: there the handler sees `self.cancelled`, and the agent restarts once it has ended.
A handler that holds up the agents' loop itself is the loop watchdog's business: nothing on that loop, this
watch included, runs meanwhile.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal, Protocol

from agentbus.agents.events import AgentRecovered, AgentStalled, BusEvent
from agentbus.agents.lives.stalls import Stalls, Work
from agentbus.errors import AgentStalledError
from agentbus.runtime.cell import Behaviour
from agentbus.runtime.cell_job import CancelToken

if TYPE_CHECKING:
    from agentbus.agents.delivery import Delivery
    from agentbus.runtime.cell_context import CellContext

OnStall = Literal["report", "restart"]
StallRule = tuple[float | None, OnStall]
"""Seconds without a mark, None for no watch; and what follows a stall."""

NO_STALLS: StallRule = (None, "report")
GRACE = 5.0
"""Seconds that a cancelled handler gets to give in; then the agent goes on without it."""


class Marks(Protocol):
    """Who takes an agent's marks of progress."""

    def mark(self, delivery: Delivery) -> None:
        """The handling of a message goes on; from the agent's thread or loop."""
        ...


class Restart:
    """To the behaviour of a watch, on its control lane: fail with this error."""

    def __init__(self, watch: StallWatch, error: AgentStalledError) -> None:
        self.watch = watch
        self.error = error


class Handling:
    """How one piece of work is interrupted: its task, or on a thread its token."""

    __slots__ = ("error", "task", "token")

    def __init__(self, token: CancelToken) -> None:
        self.token = token
        self.task: asyncio.Task[Any] | None = None
        self.error: AgentStalledError | None = None


class StallWatch:
    """The stalls of one agent, from one start to the next.

    `begin`, `mark` and `end` are called on the agent's thread or loop; it looks on the agents' loop.

    Args:
        timeout: seconds without a mark.
        on_stall: "report", or "restart".
        address: the agent's.
        cell: what its cell gives.
        report: takes events, from any thread.

    Raises:
        ValueError: see `Stalls`; or it is neither to report nor to restart.
    """

    def __init__(
        self,
        timeout: float,
        on_stall: OnStall,
        address: str,
        cell: CellContext,
        report: Callable[[BusEvent], object],
    ) -> None:
        check_on_stall(on_stall)
        self._stalls = Stalls(timeout)
        self._handlings: dict[object, Handling] = {}
        self._restarts = on_stall == "restart"
        self._address = address
        self._cell = cell
        self._report = report
        self._timer: asyncio.TimerHandle | None = None
        self._armed = False
        self._closed = False
        cell.own(lambda _error: self._close())

    @property
    def stalled(self) -> bool:
        """Whether the agent is stalled; from any thread."""
        return self._stalls.any_stalled

    def begin(self, delivery: Delivery) -> Handling:
        """Watch a message from now on."""
        handling = Handling(self._cell.cancel_token)
        self._handlings[delivery] = handling
        self._stalls.began(delivery, delivery.type_name, self._now())
        self._see_to_it()
        return handling

    def mark(self, delivery: Delivery) -> None:
        """Take a sign that the handling of a message goes on."""
        work = self._stalls.marked(delivery, self._now())
        if work is not None:
            self._tell_recovered(work)
            self._see_to_it()

    def end(self, delivery: Delivery) -> None:
        """Watch a message no more."""
        self._handlings.pop(delivery, None)
        self._tell_recovered(self._stalls.ended(delivery))

    def restart(self, error: AgentStalledError) -> None:
        """Let the agent fail with a stall, between its messages or beside one that does not give in."""
        self._cell.ref.tell_control(Restart(self, error))

    def _see_to_it(self) -> None:
        """Let there be a look when the time-out is over: one that is due already looks further by itself."""
        if not self._armed:
            self._armed = True
            self._cell.loop.call_soon(self._arm)

    def _now(self) -> float:
        return self._cell.clock.monotonic()

    def _tell_recovered(self, work: Work | None) -> None:
        if work is not None:
            self._report(AgentRecovered(self._address, work.message_type, self._now() - work.began))

    # -- on the agents' loop ---------------------------------------------------------------------------------

    def _arm(self) -> None:
        """Look again when something may have stalled; rest while nothing can."""
        self._disarm()
        self._armed = False  # before the look: who begins a piece of work after it arms again
        at = None if self._closed else self._stalls.next_look()
        if at is not None:
            self._armed = True
            self._timer = self._cell.loop.call_later(max(0.0, at - self._now()), self._look)

    def _look(self) -> None:
        if self._closed:
            return
        now = self._now()
        for key, work in self._stalls.look(now):
            self._report(AgentStalled(self._address, work.message_type, now - work.marked, self._restarts))
            handling = self._handlings.get(key)
            if self._restarts and handling is not None:
                self._interrupt(key, handling, AgentStalledError(work.message_type, now - work.marked))
        self._arm()

    def _interrupt(self, key: object, handling: Handling, error: AgentStalledError) -> None:
        handling.error = error
        if handling.task is None:
            handling.token.cancel()
        else:
            handling.task.cancel()
            self._cell.loop.call_later(GRACE, self._insist, key, error)

    def _insist(self, key: object, error: AgentStalledError) -> None:
        if key in self._handlings and not self._closed:
            self.restart(error)

    def _close(self) -> None:
        self._closed = True
        self._handlings.clear()
        self._cell.loop.call_soon(self._disarm)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class StallBehaviour:
    """A behaviour whose messages are watched.

    Args:
        inner: what handles them.
        watch: watches them.
    """

    def __init__(self, inner: Behaviour, watch: StallWatch) -> None:
        self._inner = inner
        self._watch = watch

    def on_start(self) -> Any:
        """Run the agent's hook."""
        return self._inner.on_start()

    def on_stop(self) -> Any:
        """Run the agent's hook."""
        return self._inner.on_stop()

    def on_failure(self, error: BaseException) -> Any:
        """Run the agent's hook."""
        return self._inner.on_failure(error)

    def on_control(self, message: Any) -> Any:
        """Fail by a stall; all else is for the inner behaviour."""
        if not isinstance(message, Restart):
            return self._inner.on_control(message)
        if message.watch is self._watch:  # else it was for the one before, which has failed by itself
            raise message.error
        return None

    def on_message(self, message: Any) -> Any:
        """Handle one `Delivery`, watched."""
        handling = self._watch.begin(message)
        try:
            result = self._inner.on_message(message)
        except BaseException:
            self._watch.end(message)
            raise
        if inspect.iscoroutine(result):
            return self._watched(message, handling, result)
        self._end(message, handling)
        return result

    async def _watched(self, message: Any, handling: Handling, work: Coroutine[Any, Any, Any]) -> Any:
        handling.task = asyncio.current_task()
        try:
            result = await work
        except asyncio.CancelledError:
            self._watch.end(message)
            if handling.error is None:
                raise
            raise handling.error from None
        except BaseException:
            self._watch.end(message)
            raise
        self._end(message, handling)
        return result

    def _end(self, message: Any, handling: Handling) -> None:
        """Take the end of a handler: also of one that was interrupted and went on to its end all the same."""
        self._watch.end(message)
        if handling.error is not None:
            self._watch.restart(handling.error)


def check_on_stall(on_stall: str) -> None:
    """Refuse what no watch can do.

    Raises:
        ValueError: see above.
    """
    if on_stall not in {"report", "restart"}:
        raise ValueError(f'on_stall is "report" or "restart", not {on_stall!r}')
